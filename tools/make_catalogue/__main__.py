"""Makes `safemodel/payload/catalogue.tsv` (docs/catalogue.md).

python tools/make_catalogue collect FILE              in each stack of libraries that is to be covered
python tools/make_catalogue merge FILE... -o OUT      in the newest of them
"""

import argparse
import os
import sys
import warnings
from pathlib import Path


def main() -> int:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(prog="make_catalogue", description="make the catalogue of globals")
    steps = parser.add_subparsers(dest="step", required=True)
    collecting = steps.add_parser("collect", help="fit models of the installed libraries, note what dumps need")
    collecting.add_argument("file", type=Path)
    collecting.add_argument("--only", help="one of the distributions")
    merging = steps.add_parser("merge", help="make the catalogue of what stacks showed")
    merging.add_argument("files", type=Path, nargs="+")
    merging.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.step == "collect":
        return _collect(arguments.file, arguments.only)
    from merge import merge_files

    return merge_files(arguments.files, arguments.output)


def _collect(path: Path, only: str | None) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    from evidence import Collector, collect
    from others import SOURCES, models_of

    collector = Collector()
    for distribution in SOURCES:
        if only not in (None, distribution):
            continue
        try:
            collect(models_of(distribution), collector)
        except ImportError as error:
            print(f"{distribution}: {error}", file=sys.stderr)
        print(f"{distribution}: {collector.models} models so far", file=sys.stderr)
    for failure, count in collector.failures.items():
        print(f"{count} times {failure}", file=sys.stderr)
    collector.evidence().to_file(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
