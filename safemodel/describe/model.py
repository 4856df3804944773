"""What a model is, captured when it is dumped (docs/spec.md, section "Descriptive maps").

Nothing here fails, warns, or changes the model: what cannot be found out is left out. Attributes are read where they
are stored, and computed only by what usually stores nothing: a cached property would stay in the model.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from safemodel.describe.sizes import sizes
from safemodel.describe.structure import Step, attributes, structure
from safemodel.describe.values import class_name, key, shortened, summary, texts
from safemodel.format import wire
from safemodel.format.limits import DESCRIPTION_ATTACHMENT_MAX

_PARAMETERS_MAX: Final = 2000  # of all steps together
_ABSENT: Final = object()

T = TypeVar("T")
R = TypeVar("R")


def describe_model(value: object) -> dict[str, Any]:
    """Describe a model.

    Args:
        value: any object.

    Returns:
        What the manifest's map `model` holds; the class at least.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _attempt(structure, value) or Step("", "", value, None, ())
        found = {"class": class_name(type(value))}
        for name, ask in _QUESTIONS.items():
            part = _attempt(ask, model)
            if part is not None and part not in ([], {}):
                found[name] = part
        return found


def _attempt(ask: Callable[[T], R], about: T) -> R | None:
    try:
        return ask(about)
    except Exception:  # an estimator's own code may raise anything; KeyboardInterrupt is none
        return None


def _parameters(model: Step) -> dict[str, Any] | None:
    value = model.value
    if isinstance(value, type) or not hasattr(type(value), "get_params"):
        return None
    with _random_states_kept(model):
        found = value.get_params(deep=True)
    names = sorted(name for name in found if isinstance(name, str))
    return {key(name): summary(found[name]) for name in names[:_PARAMETERS_MAX]}


@contextmanager
def _random_states_kept(model: Step) -> Iterator[None]:
    """Put random states back as they were: XGBoost's `get_params` draws a number from one."""
    random: Any = sys.modules.get("numpy.random")
    held = [] if random is None else [each for step in model.walk() for each in attributes(step.value).values()]
    states = [each for each in held if isinstance(each, random.RandomState)]
    generators = [each.bit_generator for each in held if isinstance(each, random.Generator)]
    before = [each.get_state(legacy=False) for each in states], [each.state for each in generators]
    try:
        yield
    finally:
        for state, kept in zip(states, before[0], strict=True):
            state.set_state(kept)
        for generator, kept in zip(generators, before[1], strict=True):
            generator.state = kept


def _steps(model: Step) -> list[dict[str, Any]]:
    return [step.to_value() for step in model.steps]


def _search(model: Step) -> dict[str, Any] | None:
    """Describe the outermost search."""
    for step in model.walk():
        held = attributes(step.value)
        if "best_params_" in held and "cv_results_" in held:
            return _found_by(held)
    return None


def _found_by(held: dict[str, Any]) -> dict[str, Any]:
    best, scoring = summary(held.get("best_score_")), summary(held.get("scoring"))
    found = {
        "best_parameters": {key(name): summary(item) for name, item in dict.items(held["best_params_"])},
        "best_score": best if isinstance(best, float) else None,
        "candidates": len(held["cv_results_"]["params"]),
        "scoring": scoring,
    }
    return {name: item for name, item in found.items() if item is not None}


def _n_features_in(model: Step) -> int | None:
    number = summary(_read(model.value, "n_features_in_"))
    return number if type(number) is int else None


def _feature_names(model: Step) -> Any:
    return _bounded(texts(_listed(_read(model.value, "feature_names_in_"))))


def _classes(model: Step) -> Any:
    """Return class labels; of several outputs, a list for each."""
    labels = _listed(_read(model.value, "classes_"))
    return _bounded([[summary(each) for each in _listed(of)] if _is_array(of) else summary(of) for of in labels])


def _is_array(value: Any) -> bool:
    return hasattr(value, "tolist") and value.ndim > 0


def _bounded(labels: list[Any]) -> Any:
    fits = len(wire.encode(labels)) <= DESCRIPTION_ATTACHMENT_MAX
    return labels if fits else shortened("", len(labels), None)


def _listed(found: Any) -> list[Any]:
    listed = found.tolist() if _is_array(found) else found
    if isinstance(listed, list | tuple):
        return list(listed)
    raise TypeError("neither an array nor a list")


def _outputs(model: Step) -> int | None:
    """Return how many values one prediction has."""
    final = _final(model.value)
    if not hasattr(type(final), "predict"):
        return None
    held, classes = attributes(final), _read(final, "classes_")
    stated, weights = summary(held.get("n_outputs_")), held.get("coef_")
    if type(stated) is int:
        return stated
    if isinstance(classes, list):
        return len(classes)
    shape: Any = getattr(weights, "shape", ())
    if classes is not _ABSENT or len(shape) == 1:
        return 1
    return int(shape[0]) if len(shape) == 2 else None


def _final(value: Any) -> Any:
    """Return what predicts: the last step of a pipeline, the best estimator of a search."""
    for _ in range(16):
        held = attributes(value)
        steps = held.get("steps")
        if isinstance(steps, list) and steps and isinstance(steps[-1], tuple):
            value = steps[-1][1]
        elif "best_estimator_" in held:
            value = held["best_estimator_"]
        else:
            break
    return value


def _read(value: Any, name: str) -> Any:
    """Return an attribute that is stored, or computed by a property or for a wrapper by its `__getattr__`."""
    held = attributes(value)
    if name in held:
        return held[name]
    of_class = next((vars(cls)[name] for cls in type(value).__mro__ if name in vars(cls)), None)
    return getattr(value, name, _ABSENT) if of_class is None or isinstance(of_class, property) else _ABSENT


_QUESTIONS: Final[dict[str, Callable[[Step], Any]]] = {
    "parameters": _parameters,
    "steps": _steps,
    "search": _search,
    "n_features_in": _n_features_in,
    "feature_names": _feature_names,
    "classes": _classes,
    "outputs": _outputs,
    "sizes": sizes,
}
