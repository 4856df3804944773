"""The signed artifact format for machine-learning models.

import safemodel

safemodel.dump(model, "churn.safemodel", key="release.key")
model = safemodel.load("churn.safemodel", trust="release.key.pub")    # verifies, then unpickles
"""

from importlib import import_module
from typing import TYPE_CHECKING

from safemodel.artifact import dump, inspect, load, verify
from safemodel.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    DigestMismatchError,
    DriftError,
    EnvironmentMismatchError,
    EnvironmentWarning,
    ExpiredError,
    FormatError,
    GlobalNotAllowedError,
    KeyMaterialError,
    LimitExceededError,
    NameMismatchError,
    NoTrustedSignatureError,
    PayloadError,
    PolicyError,
    RevokedError,
    RollbackError,
    SafemodelError,
    SignatureMismatchError,
    SigningError,
    StoreError,
    ThresholdNotMetError,
    UnsupportedVersionError,
    VerificationError,
)
from safemodel.format.unverified import UnverifiedArtifact
from safemodel.signing import (
    Signer,
    VerifyingKey,
    change_passphrase,
    generate_keyfile,
    load_signer,
    load_verifying_key,
)
from safemodel.trust.gate import VerifiedArtifact
from safemodel.trust.names import ANY_NAME
from safemodel.trust.policy import TrustPolicy
from safemodel.version import VERSION as __version__

if TYPE_CHECKING:
    from safemodel.countersigning import sign
    from safemodel.export.cyclonedx import export_cyclonedx
    from safemodel.export.in_toto import export_in_toto
    from safemodel.export.oms import export_oms
    from safemodel.export.oms_verdict import OmsVerdict, verify_oms
    from safemodel.export.subject import Subject
    from safemodel.extraction import extract
    from safemodel.packing import pack
    from safemodel.payload.verdicts import Finding
    from safemodel.scanning import scan
    from safemodel.trust.reproduction import Reproduction

__all__ = [
    "ANY_NAME",
    "AlgorithmNotAllowedError",
    "ConfigurationError",
    "DigestMismatchError",
    "DriftError",
    "EnvironmentMismatchError",
    "EnvironmentWarning",
    "ExpiredError",
    "Finding",
    "FormatError",
    "GlobalNotAllowedError",
    "KeyMaterialError",
    "LimitExceededError",
    "NameMismatchError",
    "NoTrustedSignatureError",
    "OmsVerdict",
    "PayloadError",
    "PolicyError",
    "Reproduction",
    "RevokedError",
    "RollbackError",
    "SafemodelError",
    "SignatureMismatchError",
    "Signer",
    "SigningError",
    "StoreError",
    "Subject",
    "ThresholdNotMetError",
    "TrustPolicy",
    "UnsupportedVersionError",
    "UnverifiedArtifact",
    "VerificationError",
    "VerifiedArtifact",
    "VerifyingKey",
    "__version__",
    "change_passphrase",
    "dump",
    "export_cyclonedx",
    "export_in_toto",
    "export_oms",
    "extract",
    "generate_keyfile",
    "inspect",
    "load",
    "load_signer",
    "load_verifying_key",
    "pack",
    "scan",
    "sign",
    "verify",
    "verify_oms",
]

# Imported when they are first asked for (PEP 562), so that `safemodel verify` does not wait for them.
_LATE = {
    "Finding": "safemodel.payload.verdicts",
    "OmsVerdict": "safemodel.export.oms_verdict",
    "Reproduction": "safemodel.trust.reproduction",
    "Subject": "safemodel.export.subject",
    "export_cyclonedx": "safemodel.export.cyclonedx",
    "export_in_toto": "safemodel.export.in_toto",
    "export_oms": "safemodel.export.oms",
    "extract": "safemodel.extraction",
    "pack": "safemodel.packing",
    "scan": "safemodel.scanning",
    "sign": "safemodel.countersigning",
    "verify_oms": "safemodel.export.oms_verdict",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return __all__
