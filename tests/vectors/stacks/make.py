"""Makes the payloads of one stack of libraries, the installed one: `python tests/vectors/stacks/make.py`.

They come into a folder named after the version of scikit-learn, beside this file. README.md lists the stacks.
"""

import json
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

COMPRESSIONS = ("zlib", "gzip", "bz2", "xz", "lzma")
LARGE = ("boosting", "generators", "LightGBM", "XGBoost")
REPRODUCED = ("linear", "forest", "vectors")

X = np.random.RandomState(0).rand(30, 3)
Y = np.array(["no", "yes"], dtype=object)[(X[:, 0] > 0.5).astype(int)]
FRAME = pd.DataFrame({"size": X[:, 0], "colour": pd.Categorical(Y), "count": np.arange(30)})
TEXTS = [f"word{number % 7} and some other words" for number in range(30)]


def models() -> Iterator[tuple[str, Any]]:
    """Yield fitted models of the kinds whose payloads changed most from version to version."""
    yield "linear", make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    yield "descent", SGDClassifier(loss="log_loss", random_state=0).fit(X, Y)
    yield "forest", RandomForestClassifier(2, max_depth=2, random_state=np.random.RandomState(0)).fit(X, Y)
    yield "isolation", IsolationForest(n_estimators=2, max_samples=8, random_state=0).fit(X)
    yield "boosting", GradientBoostingClassifier(n_estimators=2, max_depth=2).fit(X, Y)
    yield "histogram boosting", HistGradientBoostingClassifier(max_iter=2, max_bins=8, min_samples_leaf=2).fit(X, Y)
    yield "KD tree", KNeighborsClassifier(2, algorithm="kd_tree", leaf_size=10).fit(X, Y)
    yield "ball tree", KNeighborsClassifier(2, algorithm="ball_tree", leaf_size=10, metric="manhattan").fit(X, Y)
    yield "vectors", SVC(random_state=0).fit(X, Y)
    yield "texts", make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, Y)
    yield (
        "columns",
        ColumnTransformer(
            [("scale", StandardScaler(), ["size"]), ("choose", OneHotEncoder(), ["colour"])], remainder="passthrough"
        ).fit(FRAME),
    )
    yield "function", make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(X, Y)
    yield "search", GridSearchCV(LogisticRegression(), {"C": np.logspace(-1, 1, 2)}, scoring="f1_macro", cv=2).fit(X, Y)
    yield "frame", FRAME.head(3)
    yield "index", [FRAME.columns, FRAME.index, pd.MultiIndex.from_tuples([("a", 1)]), FRAME["colour"].dtype]
    yield "generators", [np.random.RandomState(1), np.random.default_rng(1)]
    yield from boosters()


def boosters() -> Iterator[tuple[str, Any]]:
    """Yield one model of each of the other libraries."""
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    yield "XGBoost", XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(X, X[:, 0] > 0.5)
    yield "LightGBM", LGBMClassifier(n_estimators=2, num_leaves=3, min_child_samples=5, n_jobs=1, verbose=-1).fit(X, Y)


def keep_predictions(path: Path) -> None:
    """Write what a model gives here for the first rows beside its payload: numbers as JSON has them, exactly."""
    model = joblib.load(path)
    methods = [name for name in ("predict", "predict_proba", "decision_function") if hasattr(model, name)]
    found = {name: getattr(model, name)(X[:5]).tolist() for name in methods}
    path.with_suffix(".predictions.json").write_text(json.dumps(found) + "\n")


def main() -> None:
    """Write them all; large ones are compressed, the first model once with each compressor."""
    warnings.simplefilter("ignore")
    folder = Path(__file__).parent / f"scikit-learn-{version('scikit-learn')}"
    folder.mkdir(exist_ok=True)
    for name, model in models():
        path = folder / f"{name.lower().replace(' ', '-')}.joblib"
        if name == "linear":
            for method in COMPRESSIONS:
                joblib.dump(model, f"{path}.{method}", compress=(method, 9))
        joblib.dump(model, path, compress=("xz", 9) if name in LARGE else 0)
        if name in REPRODUCED:
            keep_predictions(path)


if __name__ == "__main__":
    main()
