"""Train a forest of some 100 MB and sign it: what the service loads.

safemodel keygen release.key
python train.py release.key churn.safemodel
"""

import sys

from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

import safemodel


def main(key: str, filename: str, samples: str = "20000", trees: str = "240") -> None:
    """Fit and dump.

    Args:
        key: private key's file.
        filename: of the artifact.
        samples: rows of training data, a number.
        trees: in the forest, a number.
    """
    rows, labels = make_classification(int(samples), 20, flip_y=0.3, random_state=0)
    model = RandomForestClassifier(int(trees), n_jobs=-1, random_state=0).fit(rows, labels)
    model.n_jobs = None  # the service has a process for each core already
    print(safemodel.dump(model, filename, key=key, name="acme/churn", version="1.4.0"))


if __name__ == "__main__":
    main(*sys.argv[1:])
