"""Fuzz one target for a while: `python tests/fuzz/run.py container --seconds 600`.

With atheris installed the mutations follow the coverage of `safemodel`; without it they are random. An input that makes
anything but a SafemodelError escape ends the run and is kept in `--crashes`.
"""

import argparse
import random
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SECONDS_MAX = 20  # for one input; more is a hang


def follow_coverage(name: str, seconds: int, crashes: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["safemodel"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        changed = target.mutate(data, chance) if chance.random() < 0.5 else atheris.Mutate(data, size)
        return bytes(changed[:size])

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            Path(corpus, f"seed{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-max_len=16384", f"-artifact_prefix={crashes}/"]
        options += ["-rss_limit_mb=2048", f"-timeout={SECONDS_MAX}"]
        atheris.Setup([sys.argv[0], *options, corpus], target.run, custom_mutator=mutate)
        atheris.Fuzz()  # ends the process


def at_random(name: str, seconds: int, crashes: Path) -> None:
    from fuzz.targets import TARGETS

    target = TARGETS[name]
    chance = random.Random()
    end = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < end:
        data = target.mutate(chance.choice(target.seeds), chance)
        try:
            target.run(data)
        except BaseException:
            (crashes / f"{name}-{runs}").write_bytes(data)
            raise
        runs += 1
    print(f"{name}: {runs} runs, nothing but SafemodelError escaped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--crashes", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--random", action="store_true", help="do without atheris")
    arguments = parser.parse_args()
    fuzz = follow_coverage if find_spec("atheris") and not arguments.random else at_random
    fuzz(arguments.target, arguments.seconds, arguments.crashes)


if __name__ == "__main__":
    main()
