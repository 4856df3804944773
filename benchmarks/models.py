"""The models that are measured, each fitted when it is asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline

TERMS = 460_000


def models(large: float) -> dict[str, tuple[Callable[[], Any], int]]:
    """Every model with the number of rounds to measure it in.

    Args:
        large: size of the large arrays in GiB.
    """
    numbers = int(large * 2**30) // 8
    return {
        "logistic regression": (lambda: _fitted(LogisticRegression(), 1000, 5), 300),
        f"TF-IDF, {TERMS} terms": (_text_pipeline, 7),
        "HistGradientBoosting(500)": (lambda: _fitted(_hist_gradient_boosting(), 5000), 15),
        "GradientBoosting(500)": (lambda: _fitted(GradientBoostingClassifier(n_estimators=500), 2000), 15),
        "random forest of 100 MB": (lambda: _fitted(RandomForestClassifier(240, n_jobs=-1), 20_000), 7),
        f"array of {large:g} GiB": (lambda: np.random.default_rng(0).random(numbers), 7),
        f"every other row of {large:g} GiB": (lambda: np.random.default_rng(0).random((numbers // 1000, 1000))[::2], 7),
        "50,000 arrays of 10 numbers": (lambda: list(np.random.default_rng(0).random((50_000, 10))), 5),
    }


def chosen(large: float, only: list[str]) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return the models whose name contains one of some texts; without any, all of them."""
    return {name: made for name, made in models(large).items() if not only or any(part in name for part in only)}


def _text_pipeline() -> Any:
    """TF-IDF of 460,000 terms and a linear classifier: nearly all of it is one dict of strings."""
    terms = [f"{number:x}" for number in np.random.default_rng(0).integers(1 << 40, size=TERMS)]
    documents = [" ".join(terms[start : start + 200]) for start in range(0, TERMS, 200)]
    labels = [number % 2 for number in range(len(documents))]
    return make_pipeline(TfidfVectorizer(), SGDClassifier(max_iter=2, tol=None)).fit(documents, labels)


def _fitted(model: Any, samples: int, features: int = 20) -> Any:
    """Fit a model to random data."""
    return model.fit(*make_classification(samples, features, flip_y=0.3, random_state=0))


def _hist_gradient_boosting() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=500, early_stopping=False)
