"""What artifacts say of themselves in tests: as a writer would, and as an attacker would."""

import zlib
from typing import Any

from safemodel.format.container import MIMETYPE, Entry, Layout, derive_layout
from safemodel.format.manifest import ChunkDigests, Counts, Creator, GlobalReference, Manifest, Payload

GLOBALS = (
    GlobalReference("acme.transformers", "Clip", ("build", "newobj")),
    GlobalReference("numpy", "dtype", ("call",)),
    GlobalReference("sklearn.pipeline", "Pipeline", ("build", "newobj")),
)
PAYLOAD = Payload("joblib", "1.2", "none", len(b"payload"), GLOBALS, Counts(1, 0, 0, 1))

MODEL: dict[str, Any] = {
    "class": "sklearn.pipeline.Pipeline",
    "parameters": {
        "clf__C": 0.5,
        "clf__penalty": "l2",
        "memory": None,
        "words__vocabulary": {"shortened": "{'aa': 1", "length": 81_234, "sha256": "ab" * 32},
    },
    "steps": [
        {
            "name": "prepare",
            "class": "sklearn.compose._column_transformer.ColumnTransformer",
            "steps": [
                {"name": "num", "class": "sklearn.preprocessing._data.StandardScaler", "columns": ["age", "tenure"]},
                {"name": "cat", "class": "sklearn.preprocessing._encoders.OneHotEncoder", "columns": ["plan"]},
            ],
        },
        {"name": "clf", "class": "sklearn.linear_model._logistic.LogisticRegression"},
    ],
    "search": {"best_parameters": {"clf__C": 0.5}, "best_score": 0.874, "candidates": 24},
    "n_features_in": 3,
    "feature_names": ["age", "tenure", "plan"],
    "classes": ["leaves", "stays"],
    "sizes": [{"part": "steps[1][1].coef_", "bytes": 120_000}, {"part": "steps[0][1].mean_", "bytes": 24}],
}
TRAINING: dict[str, Any] = {
    "metrics": {
        "roc_auc": 0.91,
        "rows_per_second": 184_000,
        "loss": [1.0, 0.5, 0.25],
        "roc": {"fpr": [0.0, 0.1, 1.0], "tpr": [0.0, 0.8, 1.0]},
        "confusion_matrix": [[812, 40], [55, 1490]],
    },
    "metadata": {"team": "retention"},
    "notes": "# Churn\n\nCounts who left **within 90 days**.",
    "data": {
        "rows": 48_211,
        "columns": [
            {"name": "age", "dtype": "int64"},
            {"name": "tenure", "dtype": "int64"},
            {"name": "plan", "dtype": "category"},
        ],
        "digest": "sha256:" + "3f" * 32,
    },
    "source": {"commit": "9f2c1e7", "dirty": False},
}
ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.9",
    "implementation": "CPython",
    "platform": {"system": "Linux", "machine": "x86_64"},
    "distributions": {"numpy": "2.4.0", "scikit-learn": "1.9.1"},
}
EXAMPLE: dict[str, Any] = {"inputs": "example-inputs", "predictions": "example-predictions", "tolerance": 1e-6}

CLAIMS: dict[str, Any] = {
    "description": PAYLOAD,
    "model": MODEL,
    "training": TRAINING,
    "environment": ENVIRONMENT,
    "example": EXAMPLE,
}

TAGS = "</td></style></title><script>document.title = 'injected'</script><img src=x onerror=alert(1)>\"'><svg onload=a>"
CONTROLS = "\x1b[31mred\x1b]8;;https://example.com\x07link\u202egnp.exe\u2066\x00\x9b2J\r\n\u200b\u2028"
TEXTS = (
    TAGS,
    CONTROLS,
    "UNVERIFIED metrics:",
    "\u05d0\u05d1\u05d2 \u0627\u0644 1 2 3",
    "a" + "\u0301" * 500,
    "A" * 100_000,
)


def nested(depth: int) -> Any:
    """Maps inside one another."""
    return {"d": nested(depth - 1)} if depth else TAGS


def tree(depth: int) -> Any:
    """Steps inside one another, two in each."""
    return [{"name": TAGS, "class": "a.VotingClassifier", "steps": tree(depth - 1)}] * 2 if depth else "no list"


HOSTILE: dict[str, Any] = {
    "description": PAYLOAD,
    "model": {
        "class": TAGS,
        "parameters": dict.fromkeys(TEXTS, CONTROLS) | {f"k{number}": number for number in range(20_000)},
        "steps": tree(8),
        "classes": [TAGS, CONTROLS],
        "feature_names": [TAGS] * 1000,
        "n_features_in": nested(20),
        "sizes": [{"part": CONTROLS, "bytes": -1}, {"part": TAGS, "bytes": 2**64 - 1}, 7, {"part": None, "bytes": "x"}],
    },
    "training": {
        "metrics": {
            TAGS: 0.5,
            "UNVERIFIED model:": 1,
            "nan": "nan",
            "huge": 1.7e308,
            "low": -(2**63),
            "far": [1.7e308, -1.7e308],
            f"curve {TAGS}": [1, 2, 2**64 - 1],
            "uneven": {"fpr": [1, 2, 3], "tpr": [1, 2]},
            "confusion_matrix": {"matrix": [[1, -2], [2**64 - 1, 0.5]], "labels": [TAGS, CONTROLS]},
        }
        | {f"line {number}": [1, 2] for number in range(200)},
        "notes": TAGS * 1000 + CONTROLS,
        "metadata": nested(25) | {"signed by": "verified"},
        "data": [TAGS],
    },
    "environment": {"python": [TAGS], "distributions": {TAGS: CONTROLS}, "platform": TAGS},
    "example": {TAGS: {"attachment": TAGS, "sha256": {"x": CONTROLS}}},
}


def layout() -> Layout:
    """A container of the smallest artifact."""
    names = ("payload.joblib", "index", "digests", "manifest.msgpack", "signatures.msgpack")
    mimetype = Entry("mimetype", len(MIMETYPE), zlib.crc32(MIMETYPE))
    return derive_layout([mimetype, *(Entry(name, 100, 0) for name in names)])


def manifest(**claims: Any) -> Manifest:
    """A manifest with these claims, as it is before it is written."""
    fields: dict[str, Any] = {"name": "acme/churn", "version": "1.4.0", "created": 1_795_000_000, "expires": None}
    fields |= claims
    described = fields.pop("description", PAYLOAD)
    digests = ChunkDigests("blake3", 65_536, bytes(32))
    return Manifest(Creator("test", "1"), entries=layout().entries[:-2], digest=digests, payload=described, **fields)
