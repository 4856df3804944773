"""Whether what is installed here can stand for what the model was made with: values in, values out (docs/trust.md).

Rules kept here:

* The signed version is always accepted; another one as far as PEP 440's numbers make it alike, and as the policy says.
* What is signed is still somebody's text. A name or version that PEP 503 or PEP 440 would not take states nothing, and
  no other is ever printed: people paste the command that a warning shows.
* What is installed beyond what was signed is nobody's business.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from safemodel.errors import ConfigurationError

if TYPE_CHECKING:
    from packaging.version import Version

Accepted = tuple[tuple[str, str], ...]

PYTHON: Final = "python"
PLATFORM: Final = "platform"
_NO_DISTRIBUTION: Final = (PYTHON, PLATFORM)  # what these two names stand for in a table

_DISTRIBUTIONS_MAX: Final = 256  # of one model; a hundred times what any needs, and each can cost a look at the disk
_TEXT_MAX: Final = 64  # characters of a name or version; int() refuses numbers of 4,301 digits
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # normalised, PEP 503

# How many numbers of the version must be the same. One, unless the library's own documentation says that what it
# pickled is for the version that pickled it: docs/trust.md has the sources.
_ALIKE: Final = {"scikit-learn": 2, "imbalanced-learn": 2, "xgboost": 2, "xgboost-cpu": 2}
# Distributions with the same modules: whoever serves a model often has no GPU.
_STAND_INS: Final = {"xgboost": "xgboost-cpu", "xgboost-cpu": "xgboost"}


class Drift(StrEnum):
    """How what is installed differs from what was signed."""

    MISSING = "not installed"
    INCOMPARABLE = "no version that can be compared"
    PRE_RELEASE = "a pre-release"
    MAJOR = "another major version"
    MINOR = "another minor version"
    PATCH = "another patch version"
    BUILD = "another build"
    MACHINE = "another platform"


@dataclass(frozen=True, slots=True)
class Installed:
    """What there is on the machine that loads.

    Attributes:
        python: its version, `3.11.9`.
        platform: implementation, system and machine, `CPython, Linux, x86_64`.
        version: returns the version of a distribution, or None where it is not installed.
    """

    python: str
    platform: str
    version: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing of another version than was signed.

    Attributes:
        name: the distribution, normalised; or `python`, or `platform`.
        signed: the version that the model was made with.
        installed: the version here; None: it is not installed, or has no version.
        drift: how they differ.
        accepted: whether the model may be expected to work all the same.
    """

    name: str
    signed: str
    installed: str | None
    drift: Drift
    accepted: bool

    def __str__(self) -> str:
        return f"{self.name} {self.signed}, here {self.installed or self.drift}"

    def to_value(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "name": self.name,
            "signed": self.signed,
            "installed": self.installed,
            "drift": self.drift,
            "accepted": self.accepted,
        }


def stated_distributions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the distributions of a manifest's map `environment`, sorted: those whose name and version are ones."""
    stated = environment.get("distributions")
    if not isinstance(stated, Mapping) or len(stated) > _DISTRIBUTIONS_MAX:
        return {}
    versions = {
        name: _version_of(stated[name]) for name in sorted(filter(is_name, stated)) if name not in _NO_DISTRIBUTION
    }
    return {name: str(version) for name, version in versions.items() if version is not None}


def stated_python(environment: Mapping[str, Any]) -> str:
    """Return the version of Python in a manifest's map `environment`, or an empty text."""
    version = _version_of(environment.get(PYTHON))
    return "" if version is None else str(version)


def is_name(name: str) -> bool:
    """Tell whether this is the normalised name of a distribution."""
    return len(name) <= _TEXT_MAX and _NAME.fullmatch(name) is not None


def requirements_of(*described: Mapping[str, Any]) -> list[str]:
    """Return what pip takes to install the distributions that some maps state, `scikit-learn==1.6.1` each, sorted."""
    stated = {name: version for each in described for name, version in stated_distributions(each).items()}
    return sorted(requirement(name, version) for name, version in stated.items())


def requirement(name: str, version: str) -> str:
    """Return what pip takes for one of them: a local version is on no index, so any build of the public one will do."""
    return f"{name}=={version.partition('+')[0]}"


def states_nothing(environment: Mapping[str, Any]) -> bool:
    """Tell whether a manifest's map `environment` has neither a version of Python nor distributions to compare."""
    return not stated_python(environment) and not stated_distributions(environment)


def compare(environment: Mapping[str, Any], installed: Installed, accepted: Accepted = ()) -> tuple[Difference, ...]:
    """Compare what a model was made with and what is installed.

    Args:
        environment: the manifest's map; whatever it holds.
        installed: what there is here.
        accepted: PEP 440 specifiers of versions that are accepted beside the signed one, by name of the distribution.

    Returns:
        What differs: Python, the platform, then the distributions by name; also what is accepted.
    """
    return tuple(_differences(environment, installed, dict(accepted)))


def _differences(
    environment: Mapping[str, Any], installed: Installed, accepted: Mapping[str, str]
) -> Iterator[Difference]:
    # Texts are compared first, so that the many loads in which all is the same parse no version.
    python = environment.get(PYTHON)
    if python != installed.python and (signed := stated_python(environment)):
        yield from _versions(PYTHON, signed, installed.python, accepted.get(PYTHON, ""))
    yield from _platform(environment, installed)
    distributions = environment.get("distributions")
    if not isinstance(distributions, Mapping) or len(distributions) > _DISTRIBUTIONS_MAX:
        return
    if all(installed.version(name) == version for name, version in distributions.items() if is_name(name)):
        return
    for name, signed in stated_distributions(environment).items():
        found = installed.version(name) or installed.version(_STAND_INS.get(name, name))
        yield from _versions(name, signed, found, accepted.get(name, ""))


@lru_cache(maxsize=1024)
def _versions(name: str, signed: str, installed: str | None, specifiers: str) -> tuple[Difference, ...]:
    """Return the difference of two versions, the signed one a real one; none where they are the same."""
    if installed is None:
        return (Difference(name, signed, None, Drift.MISSING, accepted=False),)
    then, here = _version_of(signed), _version_of(installed)
    if then is None or here is None:
        return (Difference(name, signed, None, Drift.INCOMPARABLE, accepted=False),)
    if then == here:
        return ()
    drift = _drift(then, here)
    return (Difference(name, signed, str(here), drift, _is_accepted(name, then, here, drift, specifiers)),)


def _drift(then: "Version", here: "Version") -> Drift:
    if then.public == here.public:
        return Drift.BUILD
    if then.is_prerelease or here.is_prerelease:
        return Drift.PRE_RELEASE
    if (then.epoch, then.major) != (here.epoch, here.major):
        return Drift.MAJOR
    return Drift.PATCH if then.minor == here.minor else Drift.MINOR


def _is_accepted(name: str, then: "Version", here: "Version", drift: Drift, specifiers: str) -> bool:
    if specifiers:
        from packaging.specifiers import SpecifierSet  # late: few say so

        return drift is Drift.BUILD or SpecifierSet(specifiers).contains(here, prereleases=True)
    alike = max(_ALIKE.get(name, 1), 2 if then.major == 0 else 1)  # 0.x promises nothing from one minor to the next
    return drift in (Drift.BUILD, Drift.PATCH) or (drift is Drift.MINOR and alike == 1)


def _platform(environment: Mapping[str, Any], installed: Installed) -> Iterator[Difference]:
    """Yield another platform, which is never more than worth knowing: predictions can differ in their last digits."""
    stated = environment.get(PLATFORM)
    if not isinstance(stated, Mapping):
        return
    words = (environment.get("implementation"), stated.get("system"), stated.get("machine"))
    signed = ", ".join(word for word in words if isinstance(word, str))
    if signed != installed.platform and re.fullmatch(r"[A-Za-z0-9_., -]{1,64}", signed):
        yield Difference(PLATFORM, signed, installed.platform, Drift.MACHINE, accepted=True)


def check_versions(versions: Mapping[str, Any]) -> Accepted:
    """Return the specifiers by name, as `compare` takes them.

    Args:
        versions: PEP 440 specifiers by name of the distribution, or `python`: `{"scikit-learn": ">=1.6,<1.9"}`.

    Raises:
        ConfigurationError: not a name, or no specifiers.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # late: few say so
    from packaging.utils import canonicalize_name

    if not isinstance(versions, Mapping):
        raise ConfigurationError(
            f"versions is of type {type(versions).__name__}, expected a map", hint='{"scikit-learn": ">=1.6,<1.9"}'
        )
    accepted = {}
    for name, specifiers in versions.items():
        normalised = canonicalize_name(name) if isinstance(name, str) else ""
        if not is_name(normalised):
            raise ConfigurationError(
                f"{str(name)[:_TEXT_MAX]!r} is not the name of a distribution", hint="write it as pip takes it"
            )
        try:
            accepted[normalised] = str(SpecifierSet(specifiers)) if isinstance(specifiers, str) else ""
        except InvalidSpecifier:
            accepted[normalised] = ""
        if not accepted[normalised]:
            raise ConfigurationError(
                f"{normalised}: expected versions that are accepted, found something else",
                hint='write them as PEP 440 does: ">=1.6,<1.9"',
            )
    return tuple(sorted(accepted.items()))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> "Version | None":
    from packaging.version import InvalidVersion, Version  # late: where nothing differs, nothing is parsed

    try:
        return Version(text)
    except InvalidVersion:
        return None


def _version_of(value: object) -> "Version | None":
    # ASCII first: the pattern of PEP 440 ignores case, and so takes the Kelvin sign for a k.
    short = isinstance(value, str) and len(value) <= _TEXT_MAX and value.isascii()
    return _parsed(value) if isinstance(value, str) and short else None
