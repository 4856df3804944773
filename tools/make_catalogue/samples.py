"""Small data of every shape that changes what a fitted model holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

ROWS = 40
COLUMNS = 4


@dataclass(frozen=True)
class Sample:
    """Rows and targets.

    Attributes:
        name: says what is particular.
        X: the rows, 40 of 4 columns where nothing else is said.
        y: the targets, or None.
    """

    name: str
    X: Any
    y: Any


@cache
def samples() -> tuple[Sample, ...]:
    """Return all samples; those that most estimators can fit come first."""
    return tuple(_samples())


def sample(name: str) -> Sample:
    """Return one of them."""
    return next(each for each in samples() if each.name == name)


def _samples() -> Iterator[Sample]:
    random = np.random.RandomState(0)
    dense = np.abs(random.normal(size=(ROWS, COLUMNS))) + 0.1
    binary = np.arange(ROWS) % 2
    classes = np.arange(ROWS) % 3
    dense[:, 0] += binary
    dense[:, 1] += classes
    amounts = dense @ np.arange(1.0, COLUMNS + 1) + random.uniform(size=ROWS)
    yield Sample("binary", dense, binary)
    yield Sample("multiclass", dense, classes)
    yield Sample("regression", dense, amounts)
    yield Sample("multi-output", dense, np.c_[amounts, amounts[::-1]])
    yield Sample("multilabel", dense, np.c_[binary, classes == 1].astype(int))
    yield Sample("multi-output classes", dense, np.c_[binary, classes])
    yield Sample("texts as classes", dense, np.array(["low", "middle", "high"])[classes])
    yield from _other_containers(dense, binary, amounts)
    yield from _other_contents(dense, binary, classes)


def _other_containers(dense: Any, binary: Any, amounts: Any) -> Iterator[Sample]:
    frame = pd.DataFrame(dense, columns=list("abcd"))
    mixed = frame.assign(
        a=pd.Categorical(np.array(["red", "green"])[binary]), b=np.array(["north", "south"], object)[binary]
    )
    yield Sample("frame", frame, pd.Series(binary, name="target"))
    yield Sample("frame, amounts", frame, pd.Series(amounts, name="target"))
    yield Sample("mixed frame", mixed, binary)
    yield Sample("mixed frame, amounts", mixed, amounts)
    yield Sample("sparse", sparse.csr_matrix(dense), binary)
    yield Sample("sparse array", sparse.csr_array(dense), binary)
    yield Sample("single precision", dense.astype(np.float32), binary)


def _other_contents(dense: Any, binary: Any, classes: Any) -> Iterator[Sample]:
    missing = dense.copy()
    missing[::5, 2] = np.nan
    words = np.array(["some words here", "other words there", "nothing of that here"], object)
    yield Sample("missing", missing, binary)
    yield Sample("counts", (dense * 3).astype(int), classes)
    yield Sample("bits", (dense > 1).astype(int), binary)
    yield Sample("square", dense @ dense.T, binary)
    yield Sample("one column", dense[:, :1], dense[:, 1])
    yield Sample("flat", dense[:, 0], dense[:, 1])
    yield Sample("labels only", classes, None)
    yield Sample("sets of labels", [("red",), ("red", "green")] * (ROWS // 2), None)
    yield Sample("objects", words[classes].reshape(-1, 1), binary)
    yield Sample("texts", list(words[classes]), binary)
    yield Sample("dicts", [{"colour": "red", "size": float(size)} for size in classes], binary)
    yield Sample("images", np.abs(np.random.RandomState(1).normal(size=(4, 8, 8))), None)
    yield Sample("groups of similar rows", np.repeat(dense[:4], ROWS // 4, axis=0), np.repeat(np.arange(4), ROWS // 4))
