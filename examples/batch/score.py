"""A scheduled job: score a table with a model that must be the right one, and write the result or nothing.

    python -I score.py churn.safemodel keys acme/churn customers.csv scores.csv

It writes only to the place of its result, so it runs in a container whose file system is read-only:

    docker run --rm --read-only --network none --user 65534 --cap-drop ALL \
        -v "$PWD/models:/models:ro" -v "$PWD/keys:/keys:ro" -v "$PWD/data:/data:ro" -v "$PWD/out:/out" scoring \
        python -I score.py /models/churn.safemodel /keys acme/churn /data/customers.csv /out/scores.csv

The exit code is that of the safemodel command: 1 not trusted, 3 malformed, 4 a file or the configuration.
"""

import os
import sys
import tempfile

import pandas as pd

import safemodel


def main(filename: str, trust: str, name: str, table: str, result: str) -> int:
    """Score, and return the exit code.

    Args:
        filename: of the artifact.
        trust: folder with a `trust.toml`, or a public key's file.
        name: the model that the job is for.
        table: CSV with the columns that the model was fitted with.
        result: CSV that gets the predictions.
    """
    try:
        model = safemodel.load(filename, trust=trust, name=name)
        rows = pd.read_csv(table)
    except (safemodel.SafemodelError, OSError) as error:
        print(error if isinstance(error, OSError) else f"{filename}: {error}", file=sys.stderr)
        if isinstance(error, safemodel.FormatError):
            return 3
        return 4 if isinstance(error, safemodel.ConfigurationError | safemodel.KeyMaterialError | OSError) else 1
    scores = rows.assign(prediction=model.predict(rows[list(model.feature_names_in_)]))
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(os.path.abspath(result)), delete=False) as file:
        scores.to_csv(file, index=False)
    os.replace(file.name, result)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
