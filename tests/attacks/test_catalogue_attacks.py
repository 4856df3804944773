"""Attack files are refused before anything is signed: the walk cannot follow them, or they name what is not listed.

Nothing is unpickled here.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from safemodel.errors import ConfigurationError, SafemodelError
from safemodel.payload.allowance import advice
from safemodel.payload.catalogue import Catalogue, load_catalogue
from safemodel.payload.findings import GlobalUse
from safemodel.payload.streams import open_stream
from safemodel.payload.walk import walk

FILES = Path(__file__).with_name("files")

# Its globals are those of every decision tree: the loader looks at its nodes (`content.TreeCheck`).
CONTENT = {"gen_g46_tree_oob_nodes.joblib"}
# Globals of attack files that models need as well, some of them as data only; the attack lies in how they are used.
NEEDED = {
    "builtins.bytearray",
    "builtins.getattr",
    "functools.partial",
    "lightgbm.basic.Booster",
    "numpy.prod",
    "numpy.random._pickle.__randomstate_ctor",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
}


@dataclass(frozen=True)
class Attack:
    """One line of the manifest."""

    file: str
    globals: frozenset[str]
    expect: str


def attacks() -> list[Attack]:
    lines = (FILES / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[1:]
    fields = [line.split("\t") for line in lines]
    return [Attack(file, frozenset(names.split(",")) - {""}, expect) for file, _, names, expect in fields]


def names_of(*expected: str) -> list[str]:
    return [attack.file for attack in attacks() if attack.expect in expected]


def missing(file: str, catalogue: Catalogue) -> list[GlobalUse] | None:
    """The globals of a file that are not allowed; None if it cannot be followed."""
    try:
        stream, _ = open_stream((FILES / file).read_bytes())
        uses = walk(stream).globals
    except SafemodelError:
        return None
    return [use for use in uses if not catalogue.allows(use.module, use.name, use.roles)]


@pytest.mark.parametrize("file", names_of("refuse", "quota"))
def test_it_is_refused(file: str) -> None:
    assert missing(file, load_catalogue()) != []


@pytest.mark.parametrize("file", names_of("content"))
def test_what_only_its_content_gives_away_is_known(file: str) -> None:
    assert (missing(file, load_catalogue()) == []) == (file in CONTENT)


def test_no_global_of_an_attack_is_listed_but_those_that_models_need() -> None:
    listed = {".".join(pair) for pair in load_catalogue().permissions}
    assert {name for attack in attacks() for name in attack.globals} & listed == NEEDED


@pytest.mark.parametrize(
    "file",
    [
        "gen_g02_sklearn_testing_check_output.pkl",
        "gen_g07_sklearn_import_module.pkl",
        "gen_g09_numpy_ufunc_reconstruct.pkl",
        "gen_g12_numpy_load.pkl",
        "gen_g22_pandas_read_pickle.pkl",
        "gen_g30_sklearn_partial_alias.pkl",
        "gen_g33b_pipeline_deferred_eval.joblib",
        "gen_g34_scorer_deferred.joblib",
        "gen_j22_joblib_load_nested.joblib",
        "gen_j26_check_subprocess_call.joblib",
        "gen_o04_newobj_popen.pkl",
        "gen_o46_nested_pickle_bytes.pkl",
    ],
)
def test_allowing_what_it_asks_for_is_refused_or_not_enough(file: str) -> None:
    """A user who follows the advice for everything: names of the standard library and the like stay out."""
    catalogue = load_catalogue()
    for use in missing(file, catalogue) or []:
        name = f"{use.module}.{use.name}"
        if "allow=" in advice([use], catalogue):
            catalogue = catalogue.with_additions([name])
        else:
            with pytest.raises(ConfigurationError):
                catalogue.with_additions([name])
    left = missing(file, catalogue)
    re_exported = {"gen_g07_sklearn_import_module.pkl", "gen_g30_sklearn_partial_alias.pkl"}
    assert left or file in re_exported  # these show when they are loaded: a name must be what it says
