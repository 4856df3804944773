"""The catalogue: exact names and roles, additions, and that its data is what it says of the installed libraries."""

import importlib
import io
import pickle
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, SGDClassifier
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC

from safemodel.errors import ConfigurationError
from safemodel.format.manifest import ROLES
from safemodel.payload import catalogue as catalogue_module
from safemodel.payload.allowance import advice
from safemodel.payload.arguments import BUILTINS, CONSTRUCTORS
from safemodel.payload.catalogue import Catalogue, is_addable, load_catalogue, parse_catalogue
from safemodel.payload.findings import GlobalUse
from safemodel.payload.pickling import pickle_into
from safemodel.payload.walk import walk

FILE = Path(catalogue_module.__file__).with_name("catalogue.tsv")
LOGISTIC = ("sklearn.linear_model._logistic", "LogisticRegression")

# Whatever is called while a model is loaded and is not scikit-learn's; someone looked at each (docs/catalogue.md).
CALLED = """
    _codecs.encode
    _loss.CyAbsoluteError
    _loss.CyExponentialLoss
    _loss.CyHalfBinomialLoss
    _loss.CyHalfGammaLoss
    _loss.CyHalfPoissonLoss
    _loss.CyHalfSquaredError
    _loss.CyHalfTweedieLoss
    _loss.CyHalfTweedieLossIdentity
    _loss.CyHuberLoss
    _loss.CyPinballLoss
    _loss.__pyx_unpickle_CyAbsoluteError
    _loss.__pyx_unpickle_CyExponentialLoss
    _loss.__pyx_unpickle_CyHalfBinomialLoss
    _loss.__pyx_unpickle_CyHalfGammaLoss
    _loss.__pyx_unpickle_CyHalfMultinomialLoss
    _loss.__pyx_unpickle_CyHalfPoissonLoss
    _loss.__pyx_unpickle_CyHalfSquaredError
    _loss.__pyx_unpickle_CyHalfTweedieLoss
    _loss.__pyx_unpickle_CyHalfTweedieLossIdentity
    _loss.__pyx_unpickle_CyHuberLoss
    _loss.__pyx_unpickle_CyPinballLoss
    builtins.bytearray
    builtins.bytes
    builtins.complex
    builtins.frozenset
    builtins.getattr
    builtins.range
    builtins.set
    builtins.slice
    collections.OrderedDict
    collections.defaultdict
    copyreg._reconstructor
    datetime.date
    datetime.datetime
    datetime.time
    datetime.timedelta
    datetime.timezone
    decimal.Decimal
    functools.partial
    numpy._core.multiarray._reconstruct
    numpy._core.multiarray.scalar
    numpy._core.numeric._frombuffer
    numpy.core.multiarray._reconstruct
    numpy.core.multiarray.scalar
    numpy.core.numeric._frombuffer
    numpy.dtype
    numpy.ma.core._mareconstruct
    numpy.ndarray
    numpy.random._pickle.__bit_generator_ctor
    numpy.random._pickle.__generator_ctor
    numpy.random._pickle.__randomstate_ctor
    numpy.random.bit_generator.__pyx_unpickle_SeedSequence
    pandas.StringDtype
    pandas._libs.arrays.__pyx_unpickle_NDArrayBacked
    pandas._libs.internals._unpickle_block
    pandas._libs.tslibs.nattype.__nat_unpickle
    pandas._libs.tslibs.nattype._nat_unpickle
    pandas._libs.tslibs.timedeltas._timedelta_unpickle
    pandas._libs.tslibs.timestamps._unpickle_timestamp
    pandas.core.indexes.base._new_Index
    pandas.core.indexes.datetimes._new_DatetimeIndex
    pandas.core.indexes.timedeltas._new_TimedeltaIndex
    pandas.core.internals.managers.BlockManager
    pathlib.PurePosixPath
    pathlib.PureWindowsPath
    pathlib._local.PurePosixPath
    pathlib._local.PureWindowsPath
"""
# Of these, what is called, made or allocated depends on their arguments, so the loader must check them.
RULED = """
    _codecs.encode
    builtins.bytearray
    builtins.bytes
    builtins.complex
    builtins.frozenset
    builtins.getattr
    builtins.range
    builtins.set
    builtins.slice
    collections.OrderedDict
    collections.defaultdict
    copyreg._reconstructor
    functools.partial
    numpy._core.multiarray._reconstruct
    numpy._core.multiarray.scalar
    numpy._core.numeric._frombuffer
    numpy.core.multiarray._reconstruct
    numpy.core.multiarray.scalar
    numpy.core.numeric._frombuffer
    numpy.dtype
    numpy.ma.core._mareconstruct
    numpy.ndarray
    numpy.random._pickle.__bit_generator_ctor
    numpy.random._pickle.__generator_ctor
    numpy.random._pickle.__randomstate_ctor
    sklearn.metrics._dist_metrics.newObj
    sklearn.neighbors._ball_tree.newObj
    sklearn.neighbors._kd_tree.newObj
    sklearn.tree._tree.Tree
"""
# All that is listed of the standard library and of joblib.
PLAIN = """
    _codecs.encode
    collections.OrderedDict
    collections.defaultdict
    copyreg._reconstructor
    datetime.date
    datetime.datetime
    datetime.time
    datetime.timedelta
    datetime.timezone
    decimal.Decimal
    functools.partial
    joblib.numpy_pickle.NumpyArrayWrapper
    pathlib.PurePosixPath
    pathlib.PureWindowsPath
    pathlib._local.PurePosixPath
    pathlib._local.PureWindowsPath
    uuid.UUID
"""


@dataclass(frozen=True)
class Row:
    """One line of the file."""

    module: str
    name: str
    roles: tuple[str, ...]
    seen: tuple[str, ...]


def rows() -> Iterator[Row]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in lines[1:]:
        full, roles, _, seen = line.split("\t")
        module, _, name = full.rpartition(".")
        yield Row(module, name, tuple(roles.split(",")), tuple(seen.split(" ")))


@pytest.fixture
def listed() -> Catalogue:
    return load_catalogue()


# What is allowed.


def test_exact_names_are_allowed_in_their_roles(listed: Catalogue) -> None:
    assert listed.allows(*LOGISTIC, ("build", "newobj"))
    assert listed.allows(*LOGISTIC, ["newobj"])
    assert listed.allows("numpy", "float64", ("reference",))


@pytest.mark.parametrize(
    ("module", "name", "roles"),
    [
        (*LOGISTIC, ("call",)),
        (*LOGISTIC, ("newobj", "setitems")),
        ("sklearn.linear_model", "LogisticRegression", ("newobj",)),
        ("sklearn.linear_model._logistic", "Logistic", ("newobj",)),
        ("sklearn.linear_model._logistic", "LogisticRegression.fit", ("reference",)),
        ("sklearn", "os", ("reference",)),
        ("os", "system", ("call",)),
        ("os", "system", ()),
        ("numpy", "ndarray", ("newobj",)),
        ("", "", ()),
    ],
)
def test_everything_else_is_not(listed: Catalogue, module: str, name: str, roles: tuple[str, ...]) -> None:
    assert not listed.allows(module, name, roles)


def test_a_catalogue_does_not_change(listed: Catalogue) -> None:
    with pytest.raises(FrozenInstanceError):
        listed.covers = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        listed.permissions["os", "system"] = frozenset(ROLES)  # type: ignore[index]


def test_it_is_read_once() -> None:
    assert load_catalogue() is load_catalogue()


def test_it_says_which_versions_it_covers(listed: Catalogue) -> None:
    for library in ("Python 3.11 to", "scikit-learn 1.3 to", "NumPy", "pandas", "xgboost", "lightgbm", "catboost"):
        assert library.lower() in listed.covers.lower()


def test_names_of_other_versions_are_the_same_thing(listed: Catalogue) -> None:
    assert listed.is_same(("pandas.core.frame", "DataFrame"), ("pandas", "DataFrame"))
    assert listed.is_same(("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar"))
    assert listed.is_same(LOGISTIC, LOGISTIC)
    assert not listed.is_same(("pandas.core.frame", "DataFrame"), ("pandas", "Series"))


# What users allow in addition.


def told(listed: Catalogue, pair: tuple[str, str]) -> str:
    return advice([GlobalUse(*pair, ("newobj",), ())], listed)


def test_an_addition_gets_every_role(listed: Catalogue) -> None:
    more = listed.with_additions(["acme.transformers.Clip"])
    assert more.allows("acme.transformers", "Clip", ROLES)
    assert not more.allows("acme.transformers", "clip", ("reference",))
    assert not listed.allows("acme.transformers", "Clip", ("newobj",))
    assert more.allows(*LOGISTIC, ("newobj",))


def test_an_addition_widens_the_roles_of_a_librarys_class(listed: Catalogue) -> None:
    assert listed.with_additions([".".join(LOGISTIC)]).allows(*LOGISTIC, ("call",))


@pytest.mark.parametrize("name", ["builtins.getattr", "numpy.ndarray", "functools.partial", "uuid.UUID"])
def test_what_rules_of_the_loader_count_on_keeps_its_roles(listed: Catalogue, name: str) -> None:
    assert listed.with_additions([name]).permissions == listed.permissions


@pytest.mark.parametrize(
    "name",
    [
        "Clip",
        "",
        ".",
        "acme.",
        ".Clip",
        "acme..Clip",
        "acme.*",
        "acme.Clip()",
        "acme transformers.Clip",
        "a.1b",
        "\uff4fs.Clip",  # a full-width letter
        "a\ud800.Clip",
        "acme." + "C" * 256,
    ],
)
def test_an_addition_is_an_exact_name(listed: Catalogue, name: str) -> None:
    with pytest.raises(ConfigurationError):
        listed.with_additions([name])


def test_an_addition_is_a_text(listed: Catalogue) -> None:
    with pytest.raises(TypeError):
        listed.with_additions([LogisticRegression])


@pytest.mark.parametrize(
    "name",
    [
        "__main__.Clip",
        "_pickle.loads",
        "builtins.eval",
        "builtins.__import__",
        "cloudpickle.cloudpickle._make_function",
        "importlib.import_module",
        "joblib.load",
        "nt.system",
        "numpy.f2py.crackfortran.myeval",
        "numpy.load",
        "operator.attrgetter",
        "os.path.join",
        "os.system",
        "pandas.io.pickle.read_pickle",
        "posix.system",
        "safemodel.payload.catalogue.load_catalogue",
        "sklearn.utils._testing.check_output",
        "subprocess.Popen",
        "sys.modules",
        "torch.storage._load_from_bytes",
    ],
)
def test_what_undoes_the_catalogue_is_never_added(listed: Catalogue, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        listed.with_additions([name])
    assert refused.value.code == "configuration"
    module, _, attribute = name.rpartition(".")
    assert "allow=" not in told(listed, (module, attribute))


@pytest.mark.parametrize("name", ["collections.Counter", "fractions.Fraction", "sklearn.new.Estimator", "numpy.tri"])
def test_plain_data_types_and_other_code_can_be_added(listed: Catalogue, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert listed.with_additions([name]).allows(module, attribute, ROLES)


def test_advice_gives_the_exact_argument(listed: Catalogue) -> None:
    text = told(listed, ("acme.transformers", "Clip"))
    assert 'allow=["acme.transformers.Clip"]' in text
    assert "--allow acme.transformers.Clip" in text
    assert listed.covers in text


def test_advice_tells_the_roles_that_are_known(listed: Catalogue) -> None:
    assert "build, newobj, reference" in told(listed, LOGISTIC)


# The data.


def test_the_file_is_in_its_one_form() -> None:
    entries = list(rows())
    pairs = [(row.module, row.name) for row in entries]
    assert pairs == sorted(set(pairs))
    assert len(pairs) > 900
    for row in entries:
        assert row.module.isascii()
        assert row.name.isidentifier()
        assert list(row.roles) == sorted(set(row.roles) & set(ROLES))
        assert row.seen


def test_new_names_are_listed_themselves(listed: Catalogue) -> None:
    assert listed.renamed
    for old, new in listed.renamed.items():
        assert {old, new} <= listed.permissions.keys()
        assert new not in listed.renamed


def test_parsing_takes_the_whole_file() -> None:
    small = parse_catalogue("# one 1.2.3 1.4.0\n# two 5.6\nglobal\troles\tnow\tseen\na.b\tcall\tc.d\t1.2\n")
    assert small.permissions == {("a", "b"): frozenset(("call",))}
    assert small.renamed == {("a", "b"): ("c", "d")}
    assert small.covers == "one 1.2 to 1.4, two 5.6"


def test_reading_it_imports_nothing_heavy() -> None:
    script = "import sys; from safemodel.payload.catalogue import load_catalogue; load_catalogue(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "joblib", "sklearn", "pandas", "pickle", "pickletools", "safemodel.payload.arguments"}.isdisjoint(
        loaded
    )


# What is listed.


def full_names(role: str) -> set[str]:
    return {f"{row.module}.{row.name}" for row in rows() if role in row.roles}


def test_everything_that_is_called_was_looked_at() -> None:
    foreign = {name for name in full_names("call") if not name.startswith("sklearn.")}
    assert foreign == set(CALLED.split())


def test_what_depends_on_its_arguments_has_a_rule() -> None:
    ruled = {f"{module}.{name}" for module, name in CONSTRUCTORS}
    assert set(RULED.split()) - full_names("call") == set()
    assert set(RULED.split()) - ruled == set()


def test_of_the_standard_library_only_plain_types_are_listed() -> None:
    foreign = sys.stdlib_module_names - {"builtins"} | {"joblib"}
    found = {f"{row.module}.{row.name}" for row in rows() if row.module.partition(".")[0] in foreign}
    assert found == set(PLAIN.split())
    assert {row.name for row in rows() if row.module == "builtins"} <= BUILTINS


def test_nothing_else_is_what_users_could_not_add(listed: Catalogue) -> None:
    refused = {".".join(pair) for pair in listed.permissions if not is_addable(*pair) and pair[0] != "builtins"}
    assert refused <= set(PLAIN.split())


def test_no_distribution_of_scipy_is_listed(listed: Catalogue) -> None:
    assert not [pair for pair in listed.permissions if pair[0].startswith("scipy.stats")]


def test_files_of_boosters_cannot_be_read_through_their_classes(listed: Catalogue) -> None:
    for module in ("lightgbm.basic", "xgboost.core"):
        assert listed.allows(module, "Booster", ("build", "newobj"))
        assert not listed.allows(module, "Booster", ("reference",))


def installed_version(module: str) -> str | None:
    """The first two numbers of the version that has a module, if it is installed."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names:
        return ".".join(platform.python_version_tuple()[:2])
    try:
        library = importlib.import_module("sklearn" if root == "_loss" else root)
    except ImportError:
        return None
    return ".".join(library.__version__.split(".")[:2])


def resolved() -> Iterator[tuple[Row, Any]]:
    """What the names of the installed versions stand for."""
    for row in rows():
        if installed_version(row.module) in row.seen:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield row, getattr(importlib.import_module(row.module), row.name)


def test_names_of_the_installed_versions_are_what_they_say(listed: Catalogue) -> None:
    found = list(resolved())
    assert found
    for row, thing in found:
        assert not isinstance(thing, ModuleType), row
        if isinstance(thing, np.ufunc):
            assert thing.__name__ == row.name or set(row.roles) == {"reference"}
            continue
        assert callable(thing), row
        own = thing.__module__, thing.__qualname__
        assert listed.is_same(own, (row.module, row.name)), (row, own)


def test_only_classes_make_instances() -> None:
    for row, thing in resolved():
        if "newobj" in row.roles:
            assert isinstance(thing, type), row


# Fresh models need nothing else.

X = np.random.RandomState(0).normal(size=(40, 4)) + np.arange(4)
Y = np.arange(40) % 2
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(e=np.where(Y, "x", "y"))


def by_type() -> Any:
    numbers, texts = make_column_selector(dtype_include=np.number), make_column_selector(dtype_exclude=np.number)
    return make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), texts))


MODELS = {
    "boosting": (GradientBoostingRegressor(n_estimators=2), X, Y),
    "chain": (make_pipeline(StandardScaler(), SelectKBest(k=2), LogisticRegression()), X, Y),
    "chosen": (GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring=make_scorer(f1_score), cv=2), X, Y),
    "columns": (make_pipeline(by_type(), RandomForestClassifier(2, random_state=np.random.RandomState(1))), FRAME, Y),
    "descent": (SGDClassifier(loss="modified_huber"), X, Y),
    "forest": (IsolationForest(n_estimators=2), X, None),
    "function": (make_pipeline(FunctionTransformer(np.tanh), Ridge()), X, Y),
    "histograms": (HistGradientBoostingClassifier(max_iter=2), X, Y),
    "isotonic": (IsotonicRegression(), X[:, 0], Y),
    "many": (LogisticRegressionCV(cv=2, l1_ratios=(0.0,), use_legacy_attributes=False), X, Y),
    "naive": (GaussianNB(), X, np.where(Y, "yes", "no")),
    "neighbours": (KNeighborsClassifier(algorithm="kd_tree"), X, Y),
    "network": (MLPClassifier((3,), max_iter=2), X, Y),
    "process": (GaussianProcessClassifier(), X, Y),
    "splines": (SplineTransformer(), X, None),
    "stacked": (StackingClassifier([("one", SVC()), ("two", GaussianNB())], cv=2), X, Y),
    "texts": (Pipeline([("words", TfidfVectorizer()), ("model", LogisticRegression())]), ["red car", "blue"] * 20, Y),
}


def dumps(model: Any) -> Iterator[bytes]:
    own, joblibs = io.BytesIO(), io.BytesIO()
    pickle_into(model, own.write)
    joblib.dump(model, joblibs)
    yield own.getvalue()
    yield joblibs.getvalue()
    yield from (pickle.dumps(model, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_fresh_models_need_nothing_else(listed: Catalogue, name: str) -> None:
    model, rows_, targets = MODELS[name]
    model.fit(rows_, targets)
    for stream in dumps(model):
        missing = [use for use in walk(stream).globals if not listed.allows(use.module, use.name, use.roles)]
        assert missing == []
