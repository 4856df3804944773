"""Keeping an example with a model when it is dumped, and running it again when it is loaded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from safemodel.describe.example.comparison import compare, rows_of
from safemodel.describe.example.storage import outputs_from_bytes, outputs_to_bytes, table_from_bytes, table_to_bytes
from safemodel.describe.installed import version_of
from safemodel.errors import ConfigurationError, FormatError, PayloadError, PolicyError
from safemodel.format.limits import EXAMPLE_MAX
from safemodel.trust.reproduction import Difference, Reproduction

METHODS: Final = ("predict", "predict_proba", "decision_function", "transform")  # nothing else is ever called
INPUTS: Final = "example-inputs.msgpack"
PREDICTIONS: Final = "example-predictions.msgpack"

_REASON_MAX: Final = 200  # characters of what a model says when it fails
_TOLERANCES: Final = {2: 1e-2, 4: 1e-4, 8: 1e-6}  # by the bytes of a float: some hundred times what rounding leaves


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs and what the model gave for them.

    Attributes:
        inputs: a table, as stored; read anew for each method, since a model may write into what it gets.
        outputs: what each method gave.
        tolerance: the largest relative difference of floating-point numbers that counts as the same.
    """

    inputs: bytes
    outputs: Mapping[str, Any]
    tolerance: float

    @classmethod
    def of(cls, model: Any, inputs: object, tolerance: float | None) -> Self:
        """Run a model on inputs, twice, on what the attachment will hold.

        Raises:
            ConfigurationError: it has no method that predicts, or the tolerance is none.
            FormatError: the inputs, or what it gives for them, cannot be kept.
            LimitExceededError: they are too large.
            PayloadError: it fails, or gives something else each time.
        """
        stated = None if tolerance is None else _check_tolerance(tolerance)
        methods = _methods_of(model)
        stored = table_to_bytes(inputs, "example")
        outputs = outputs_from_bytes(outputs_to_bytes(_outputs(model, methods, stored), "predictions"), "predictions")
        example = cls(stored, outputs, _default_tolerance(outputs) if stated is None else stated)
        unstable = [each.method for each in example.reproduced_by(model).differences if not each.agrees]
        if unstable:
            raise PayloadError(
                f"the model gives something else for the example each time: {', '.join(unstable)}",
                hint="fix its random_state, or leave out example=",
            )
        return example

    @classmethod
    def read(cls, described: Mapping[str, Any], attachment: Callable[[str, int], bytes]) -> Self:
        """Read the example of an artifact.

        Args:
            described: the manifest's map `example`.
            attachment: returns the bytes of an attachment by its name, at most so many.

        Raises:
            PolicyError: there is no example.
            FormatError: it is malformed.
            PayloadError: what it is made of, such as pandas, is not installed here.
        """
        names = [described.get(key) for key in ("inputs", "predictions")]
        if names == [None, None]:
            raise PolicyError(
                "the artifact holds no example to reproduce", hint="dump the model again with one: example=X[:5]"
            )
        stored, predictions = (_attached(name, attachment) for name in names)
        table_from_bytes(stored, "example.inputs")
        outputs = outputs_from_bytes(predictions, "example.predictions")
        if not outputs or not set(outputs) <= set(METHODS):
            raise FormatError(f"example.predictions are not of methods among {', '.join(METHODS)}")
        tolerance = described.get("tolerance")
        if type(tolerance) is not float or not 0 <= tolerance < 1:
            raise FormatError("example.tolerance is no number from 0 to below 1")
        return cls(stored, outputs, tolerance)

    def to_claims(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return the manifest's map `example`, and the attachments by name."""
        described: dict[str, Any] = {"inputs": INPUTS, "predictions": PREDICTIONS, "tolerance": self.tolerance}
        if distributions := _distributions([table_from_bytes(self.inputs, "example"), *self.outputs.values()]):
            described["distributions"] = distributions
        return described, {INPUTS: self.inputs, PREDICTIONS: outputs_to_bytes(dict(self.outputs), "predictions")}

    def reproduced_by(self, model: Any, tolerance: float | None = None) -> Reproduction:
        """Run a model on the inputs, and compare.

        Args:
            model: with the methods that predict.
            tolerance: instead of the signed one.

        Raises:
            ConfigurationError: the tolerance is none.
        """
        limit = self.tolerance if tolerance is None else _check_tolerance(tolerance)
        differences = (self._difference(model, method, then, limit) for method, then in self.outputs.items())
        return Reproduction(limit, tuple(differences))

    def _difference(self, model: Any, method: str, then: Any, tolerance: float) -> Difference:
        inputs = table_from_bytes(self.inputs, "example.inputs")
        try:
            return compare(method, then, getattr(model, method)(inputs), tolerance)
        except (Exception, SystemExit) as error:  # whatever a model does in a library that has changed
            rows = rows_of(then)
            return Difference(method, rows, rows, reason=_said(error))


def _distributions(tables: Iterable[Any]) -> dict[str, str]:
    """Return the versions of the distributions that reading tables needs, beside NumPy."""
    parts = [part for table in tables for part in (table if isinstance(table, list) else [table])]
    needed = {"pandas": "iloc", "scipy": "tocsr"}
    names = [name for name, attribute in needed.items() if any(hasattr(part, attribute) for part in parts)]
    return {name: version for name in names if (version := version_of(name)) is not None}


def _methods_of(model: Any) -> list[str]:
    """Those that it has; scores add nothing to probabilities."""
    methods = [method for method in METHODS if callable(getattr(model, method, None))]
    if not methods or isinstance(model, type):
        raise ConfigurationError(
            f"an example was given, and a {type(model).__name__} has none of {', '.join(METHODS)}",
            hint="leave out example=, or dump the fitted model itself",
        )
    return [method for method in methods if method != "decision_function" or "predict_proba" not in methods]


def _outputs(model: Any, methods: list[str], stored: bytes) -> dict[str, Any]:
    """What each method gives; some models have one that works with other settings only."""
    outputs: dict[str, Any] = {}
    failures: list[tuple[str, Exception]] = []
    for method in methods:
        inputs = table_from_bytes(stored, "example")
        try:
            outputs[method] = getattr(model, method)(inputs)
        except Exception as error:
            failures.append((method, error))
    if not outputs:
        method, cause = failures[0]
        raise PayloadError(
            f"the model cannot be run on its example: {method} {_said(cause)}",
            hint="give rows such as the model was fitted to: example=X[:5]",
        ) from cause
    return outputs


def _said(error: BaseException) -> str:
    return f"raises {type(error).__name__}: {' '.join(str(error).split())[:_REASON_MAX]}"


def _attached(name: object, attachment: Callable[[str, int], bytes]) -> bytes:
    if not isinstance(name, str):
        raise FormatError("example.inputs and example.predictions are not both names of attachments")
    return attachment(name, EXAMPLE_MAX)


def _check_tolerance(tolerance: float) -> float:
    if isinstance(tolerance, int | float) and not isinstance(tolerance, bool) and 0 <= tolerance < 1:
        return abs(float(tolerance))  # the wire has no negative zero
    raise ConfigurationError(
        f"the tolerance is {tolerance!r}, expected a number from 0 to below 1", hint="such as 1e-6"
    )


def _default_tolerance(outputs: Mapping[str, Any]) -> float:
    """That of the coarsest floating-point numbers; where there are none, all that is compared is exact."""
    return max(
        (_TOLERANCES.get(size, 0.0) for output in outputs.values() for size in _float_sizes(output)), default=0.0
    )


def _float_sizes(output: Any) -> list[int]:
    if isinstance(output, list):
        return [size for part in output for size in _float_sizes(part)]
    dtypes = output.dtypes if hasattr(output, "columns") else [output.dtype]
    return [dtype.itemsize // (2 if dtype.kind == "c" else 1) for dtype in dtypes if dtype.kind in "fc"]
