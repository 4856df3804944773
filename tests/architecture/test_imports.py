"""The direction of imports, the exported names, and what a verifier must not load."""

import subprocess
import sys

import safemodel
from safemodel import errors

PUBLIC = {
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
}


def all_errors(root: type[Exception] = errors.SafemodelError) -> list[type[Exception]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


def test_exported_names() -> None:
    assert set(safemodel.__all__) == PUBLIC
    assert all(hasattr(safemodel, name) for name in PUBLIC)


def test_imports_run_one_way() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_errors_have_codes_of_their_own_and_are_no_builtin_errors() -> None:
    codes = [error.code for error in all_errors()]  # type: ignore[attr-defined]
    assert len(set(codes)) == len(codes)
    assert not any(issubclass(error, ValueError | TypeError | OSError) for error in all_errors())
    assert all(f"{error.__name__}" in (errors.__doc__ or "") for error in all_errors())


def test_an_error_shows_its_hint() -> None:
    assert str(errors.FormatError("found junk")) == "found junk"
    assert str(errors.FormatError("found junk", hint="fetch it again")) == "found junk; fetch it again"


def test_importing_loads_no_pickle() -> None:
    code = "import safemodel, sys; print([m for m in ('pickle', 'numpy', 'joblib', 'sklearn') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
