"""OpenSSF Model Signing bundles: what holds, what is refused, and that no artifact loads on one."""

import json
import shutil
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import safemodel
from safemodel.errors import (
    ConfigurationError,
    DigestMismatchError,
    FormatError,
    KeyMaterialError,
    NoTrustedSignatureError,
    SafemodelError,
    SignatureMismatchError,
    SigningError,
    VerificationError,
)
from safemodel.export.oms import BUNDLE_MAX, OmsBundle, key_hint
from safemodel.export.statement import message, to_json
from safemodel.format.envelope import SignatureRecord, SignatureSet
from safemodel.format.manifest import Counts, GlobalReference, Payload
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.format.writer import replace_signatures
from safemodel.signing import EcdsaP256Signer, EcdsaP256VerifyingKey, sign_checked


@dataclass(frozen=True)
class Desk:
    """A key that publishes, an artifact that it signed, and a bundle for it."""

    folder: Path
    key: Path

    @property
    def public(self) -> Path:
        return self.key.with_name("release.key.pub")

    @property
    def artifact(self) -> Path:
        return self.folder / "churn.safemodel"

    @property
    def bundle(self) -> Path:
        return self.folder / "model.sig"

    def dump(self, version: str = "1.4.0", file: str = "churn.safemodel") -> Path:
        path = self.folder / file
        safemodel.dump({"weights": [1.5, 2.5]}, path, key=self.key, name="acme/churn", version=version)
        return path

    def sign_statement(self, body: bytes) -> None:
        """Write a bundle around any bytes, signed for real."""
        signer = safemodel.load_signer(self.key)
        key = signer.verifying_key
        assert isinstance(key, EcdsaP256VerifyingKey)
        self.bundle.write_bytes(OmsBundle(key_hint(key), body, sign_checked(signer, message(body))).to_bytes())

    def statement(self) -> Any:
        return json.loads(OmsBundle.from_bytes(self.bundle.read_bytes()).body)


@pytest.fixture(scope="session")
def publisher(make_key: Callable[..., Any]) -> Path:
    private: Path = make_key("ecdsa-p256").private
    return private


@pytest.fixture
def desk(tmp_path: Path, publisher: Path) -> Desk:
    made = Desk(tmp_path, publisher)
    made.dump()
    safemodel.export_oms(made.artifact, made.bundle, key=made.key, trust=made.public)
    return made


def test_a_bundle_holds_for_its_artifact(desk: Desk) -> None:
    verdict = safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)
    assert verdict.subject.digest == safemodel.inspect(desk.artifact).digest
    assert [signed.algorithm for signed in verdict.subject.signers] == ["ecdsa-p256-sha256"]
    assert not isinstance(verdict, safemodel.VerifiedArtifact)
    assert not hasattr(verdict, "load")


def test_annotations_say_which_artifact_it_is(desk: Desk) -> None:
    [resource] = desk.statement()["predicate"]["resources"]
    digest = safemodel.inspect(desk.artifact).digest
    assert resource["annotations"] == {"name": "acme/churn", "version": "1.4.0", "artifact_digest": digest}


def test_an_artifact_without_a_version(desk: Desk) -> None:
    safemodel.dump([1], desk.artifact, key=desk.key, name="acme/churn")
    safemodel.export_oms(desk.artifact, desk.bundle, key=desk.key, trust=desk.public)
    assert "version" not in desk.statement()["predicate"]["resources"][0]["annotations"]
    safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


def test_file_objects_and_a_renamed_file(desk: Desk) -> None:
    with desk.artifact.open("rb") as artifact, desk.bundle.open("rb") as bundle:
        verdict = safemodel.verify_oms(artifact, bundle, trust=desk.public, name="acme/churn")
    assert verdict.subject.file == "churn.safemodel"
    renamed = desk.artifact.rename(desk.folder / "other.safemodel")
    safemodel.verify_oms(renamed, desk.bundle, trust=desk.public, name="acme/churn")
    with pytest.raises(VerificationError) as caught:
        safemodel.verify_oms(renamed, desk.bundle, trust=desk.public)
    assert caught.value.code == "name-mismatch"


def test_progress_ends_with_the_file(desk: Desk) -> None:
    steps: list[tuple[int, int]] = []
    safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public, progress=lambda *step: steps.append(step))
    size = desk.artifact.stat().st_size
    assert steps == sorted(steps)
    assert steps[-1] == (size, size)


@pytest.mark.parametrize("algorithm", ["ed25519", "hmac-sha256"])
def test_keys_of_another_kind(algorithm: str, desk: Desk, make_key: Callable[..., Any]) -> None:
    before = desk.bundle.read_bytes()
    with pytest.raises(KeyMaterialError):
        safemodel.export_oms(desk.artifact, desk.bundle, key=make_key(algorithm).private, trust=desk.public)
    with pytest.raises(NoTrustedSignatureError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=make_key(algorithm).public)
    assert desk.bundle.read_bytes() == before


def test_exactly_one_key_signs(desk: Desk) -> None:
    with pytest.raises(ConfigurationError):
        safemodel.export_oms(desk.artifact, desk.bundle, key=[desk.key, desk.key], trust=desk.public)


def test_a_signer_that_lies_is_found_out(desk: Desk) -> None:
    class Liar(EcdsaP256Signer):
        def sign(self, message: bytes) -> bytes:
            return super().sign(b"something else")

    before = desk.bundle.read_bytes()
    with pytest.raises(SigningError):
        safemodel.export_oms(desk.artifact, desk.bundle, key=Liar.generate(), trust=desk.public)
    assert desk.bundle.read_bytes() == before


def test_only_what_the_gate_admits_is_exported(desk: Desk, stranger: Any) -> None:
    desk.bundle.unlink()
    with pytest.raises(NoTrustedSignatureError):
        safemodel.export_oms(desk.artifact, desk.bundle, key=desk.key, trust=stranger.public)
    tampered = bytearray(desk.artifact.read_bytes())
    tampered[4096] ^= 1
    desk.artifact.write_bytes(tampered)
    with pytest.raises(DigestMismatchError):
        safemodel.export_oms(desk.artifact, desk.bundle, key=desk.key, trust=desk.public)
    assert not desk.bundle.exists()


@pytest.mark.parametrize(
    "place", ["churn.safemodel", "link.safemodel", "churn.safemodel.sig", "here/churn.safemodel.sig"]
)
def test_neither_the_artifact_nor_its_signatures_are_written_over(place: str, desk: Desk) -> None:
    (desk.folder / "link.safemodel").symlink_to(desk.artifact)
    (desk.folder / "here").symlink_to(desk.folder)
    before = desk.artifact.read_bytes()
    with pytest.raises(ConfigurationError):
        safemodel.export_oms(desk.artifact, desk.folder / place, key=desk.key, trust=desk.public)
    assert desk.artifact.read_bytes() == before


# What is left of a bundle when something was changed or taken away.
Change = Callable[[dict[str, Any]], object]


def flipped(text: str) -> str:
    data = bytearray(b64decode(text))
    data[-1] ^= 1
    return b64encode(data).decode()


def restate(bundle: dict[str, Any], change: Change) -> None:
    """Change the statement, as somebody without the key would."""
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = b64encode(to_json(statement)).decode()


def resource(statement: dict[str, Any]) -> Any:
    return statement["predicate"]["resources"][0]


ALTERED: dict[str, Change] = {
    "signature": lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(
        sig=flipped(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    ),
    "model name": lambda bundle: restate(bundle, lambda it: resource(it)["annotations"].update(name="acme/fraud")),
    "version": lambda bundle: restate(bundle, lambda it: resource(it)["annotations"].update(version="9.0")),
    "file's name": lambda bundle: restate(bundle, lambda it: it["subject"][0].update(name="fraud.safemodel")),
    "resource": lambda bundle: restate(bundle, lambda it: resource(it).update(digest="0" * 64)),
    "payload type": lambda bundle: bundle["dsseEnvelope"].update(payloadType="application/json"),
    "media type": lambda bundle: bundle.update(mediaType="application/vnd.dev.sigstore.bundle.v0.1+json"),
    "key": lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="0" * 64),
}
STRIPPED: dict[str, Change] = {
    "annotations": lambda bundle: restate(bundle, lambda it: resource(it).pop("annotations")),
    "version": lambda bundle: restate(bundle, lambda it: resource(it)["annotations"].pop("version")),
    "resources": lambda bundle: restate(bundle, lambda it: it["predicate"].update(resources=[])),
    "subject": lambda bundle: restate(bundle, lambda it: it.update(subject=[])),
    "statement": lambda bundle: bundle["dsseEnvelope"].update(payload=""),
    "signature": lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
    "signature's bytes": lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig=""),
    "envelope": lambda bundle: bundle.pop("dsseEnvelope"),
    "verification material": lambda bundle: bundle.pop("verificationMaterial"),
    "media type": lambda bundle: bundle.pop("mediaType"),
}
CHANGES = [
    *(pytest.param(change, id=f"altered {what}") for what, change in ALTERED.items()),
    *(pytest.param(change, id=f"without {what}") for what, change in STRIPPED.items()),
]


def rewrite(path: Path, change: Change) -> None:
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(to_json(value))


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_or_stripped_bundle_is_refused(change: Change, desk: Desk) -> None:
    rewrite(desk.bundle, change)
    with pytest.raises((FormatError, VerificationError)):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"1e999",
        b"NaN",
        b"[" * 30_000,
        b" " * (BUNDLE_MAX + 1),
        b'{"mediaType": 1, "mediaType": 2}',
        b'{"dsseEnvelope": {"signatures": [1]}}',
        b'{"dsseEnvelope": {"signatures": 3}}',
    ],
)
def test_what_is_no_bundle(data: bytes, desk: Desk) -> None:
    desk.bundle.write_bytes(data)
    with pytest.raises(FormatError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda bundle: bundle.update(more=1),
        lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=None),
        lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="\x1b[2J\ud800"),
        lambda bundle: bundle["verificationMaterial"]["publicKey"].pop("hint"),
        lambda bundle: bundle["verificationMaterial"].update(tlogEntries=False),
        lambda bundle: bundle["dsseEnvelope"]["signatures"].append(bundle["dsseEnvelope"]["signatures"][0]),
        lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(keyid="x"),
        lambda bundle: bundle["dsseEnvelope"].update(payload=bundle["dsseEnvelope"]["payload"] + "\n"),
        lambda bundle: bundle["dsseEnvelope"].update(payload=3),
    ],
)
def test_a_bundle_in_another_form_is_malformed(change: Change, desk: Desk) -> None:
    rewrite(desk.bundle, change)
    with pytest.raises(FormatError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


def test_a_bundle_that_is_nested_deeply_is_malformed(desk: Desk) -> None:
    nested = b'"more": ' + b"[" * 900 + b"]" * 900 + b', "mediaType"'
    desk.bundle.write_bytes(desk.bundle.read_bytes().replace(b'"mediaType"', nested))
    with pytest.raises(FormatError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


def test_a_bundle_of_another_artifact_by_the_same_signer(desk: Desk) -> None:
    older = desk.dump("1.3.0", "churn-1.3.0.safemodel")
    with pytest.raises(DigestMismatchError):
        safemodel.verify_oms(older, desk.bundle, trust=desk.public)


def test_a_changed_artifact(desk: Desk) -> None:
    data = bytearray(desk.artifact.read_bytes())
    data[4096] ^= 1
    desk.artifact.write_bytes(data)
    with pytest.raises(DigestMismatchError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


def test_a_signature_that_is_added_makes_it_void(desk: Desk, release: Any) -> None:
    safemodel.sign(desk.artifact, key=release.private, trust=desk.public)
    with pytest.raises(DigestMismatchError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", FormatError),
        (b"junk", FormatError),
        (b'{"a": 1, "a": 2}', FormatError),
        (b'{"a": NaN}', FormatError),
        (b"[]", VerificationError),
        (b'{"subject": [{"name": 3}], "predicate": {"resources": [{"digest": 4}]}}', VerificationError),
        (b'{"subject": ' + b"[" * 900 + b"]" * 900 + b"}", VerificationError),
    ],
)
def test_a_trusted_key_signed_another_statement(body: bytes, error: type[SafemodelError], desk: Desk) -> None:
    desk.sign_statement(body)
    with pytest.raises(error):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: resource(it).pop("annotations"),  # as the reference writes it
        lambda it: resource(it)["annotations"].update(name="acme/fraud"),
        lambda it: resource(it)["annotations"].pop("version"),
        lambda it: resource(it)["annotations"].update(artifact_digest="0" * 64),
        lambda it: resource(it).update(name="churn.safemodel"),
        lambda it: it["predicate"]["resources"].append(resource(it)),
        lambda it: it["predicate"]["serialization"].update(allow_symlinks=0),
        lambda it: it["predicate"]["serialization"].update(ignore_paths=["."]),
        lambda it: it["subject"][0]["digest"].update(sha256="0" * 64),
        lambda it: it.update(predicateType="https://slsa.dev/provenance/v1"),
    ],
)
def test_a_statement_that_says_other_than_the_artifact(change: Change, desk: Desk) -> None:
    statement = desk.statement()
    nested = dict(statement)
    change(nested)
    desk.sign_statement(to_json(nested))
    with pytest.raises(VerificationError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


def with_records(path: Path, *records: SignatureRecord) -> None:
    with path.open("r+b") as file:
        layout = read_unverified(open_source(file)).layout
        replace_signatures(file, layout, SignatureSet.of(records))


def test_a_bundle_never_satisfies_the_gate(desk: Desk, stranger: Any, canary: list[str]) -> None:
    safemodel.dump([1], desk.artifact, key=stranger.private, name="acme/churn")
    safemodel.export_oms(desk.artifact, desk.bundle, key=desk.key, trust=stranger.public)
    shutil.copy(desk.public, desk.folder / "publisher.pub")
    policy = (
        'version = 1\n[signers.publisher]\nkeys = ["publisher.pub"]\n'
        '[[rules]]\nmodels = ["acme/*"]\nsigners = ["publisher"]\noms = ["publisher"]\n'
    )
    (desk.folder / "trust.toml").write_text(policy)
    for trust in (desk.public, desk.folder):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=trust)
        for refuse in (safemodel.load, safemodel.verify):
            with pytest.raises(NoTrustedSignatureError):
                refuse(desk.artifact, trust=trust)
        with pytest.raises(NoTrustedSignatureError):
            safemodel.sign(desk.artifact, key=desk.key, trust=trust)
    shutil.copy(desk.bundle, f"{desk.artifact}.sig")
    with pytest.raises(FormatError):
        safemodel.load(desk.artifact, trust=desk.public)
    assert canary == []


def test_signatures_of_one_kind_are_none_of_another(desk: Desk, canary: list[str]) -> None:
    bundle = OmsBundle.from_bytes(desk.bundle.read_bytes())
    [record] = safemodel.inspect(desk.artifact).signatures.records
    desk.bundle.write_bytes(OmsBundle(bundle.hint, bundle.body, record.signature).to_bytes())
    with pytest.raises(SignatureMismatchError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)
    with_records(desk.artifact, SignatureRecord(record.key_id, bundle.signature))
    with pytest.raises(SignatureMismatchError):
        safemodel.load(desk.artifact, trust=desk.public)
    assert canary == []


def test_a_provenance_statement_is_no_bundle(desk: Desk) -> None:
    place = desk.folder / "churn.intoto.json"
    safemodel.export_in_toto(desk.artifact, place, key=desk.key, trust=desk.public)
    envelope = json.loads(place.read_bytes())
    signature = b64decode(envelope["signatures"][0]["sig"])
    hint = OmsBundle.from_bytes(desk.bundle.read_bytes()).hint
    desk.bundle.write_bytes(OmsBundle(hint, b64decode(envelope["payload"]), signature).to_bytes())
    with pytest.raises(VerificationError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public)


POLICY = """
version = 7
[signers.alice]
keys = ["alice.pub"]
[signers.publisher]
keys = ["publisher.pub"]

[[rules]]
models = ["acme/*"]
signers = ["alice"]
oms = ["publisher"]
"""


@pytest.fixture
def keys(desk: Desk, stranger: Any) -> Path:
    folder = desk.folder / "keys"
    folder.mkdir()
    shutil.copy(stranger.public, folder / "alice.pub")
    shutil.copy(desk.public, folder / "publisher.pub")
    (folder / "trust.toml").write_text(POLICY)
    return folder


def test_a_rule_accepts_whose_bundles_it_names(desk: Desk, keys: Path) -> None:
    verdict = safemodel.verify_oms(desk.artifact, desk.bundle, trust=keys)
    assert [signed.signer for signed in verdict.subject.signers] == ["publisher"]
    assert verdict.explanation.rule.number == 1


def revoked(what: str) -> str:
    return f'{POLICY}\n[[revoked]]\n{what}\ndate = 2026-01-01\nreason = "stolen"\n'


REFUSING = {
    "a rule that accepts nobody's": (POLICY.replace('oms = ["publisher"]\n', ""), "policy"),
    "a rule that accepts another's": (POLICY.replace('oms = ["publisher"]', 'oms = ["alice"]'), "no-trusted-signature"),
    "no rule for the model": (POLICY.replace("acme/*", "other/*"), "policy"),
    "a key that is not listed": (POLICY.replace("publisher.pub", "else.pub"), "no-trusted-signature"),
    "a revoked signer": (revoked('signer = "publisher"'), "revoked"),
    "a key whose time has passed": (
        POLICY.replace('["publisher.pub"]', '["publisher.pub"]\nvalid_until = 2020-01-01'),
        "expired",
    ),
    "a lowest version": (POLICY + 'min_version = "2.0"\n', "rollback"),
    "digests of another kind": (POLICY + 'digests = ["sha256"]\n', "algorithm-not-allowed"),
}


@pytest.mark.parametrize(("text", "code"), REFUSING.values(), ids=REFUSING)
def test_what_else_the_policy_demands_holds_too(
    text: str, code: str, desk: Desk, keys: Path, make_key: Callable[..., Any]
) -> None:
    shutil.copy(make_key("ecdsa-p256").public, keys / "else.pub")
    (keys / "trust.toml").write_text(text)
    with pytest.raises(VerificationError) as caught:
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=keys)
    assert caught.value.code == code


def test_a_revoked_artifact(desk: Desk, keys: Path) -> None:
    (keys / "trust.toml").write_text(revoked(f'artifact = "{safemodel.inspect(desk.artifact).digest}"'))
    with pytest.raises(VerificationError) as caught:
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=keys)
    assert caught.value.code == "revoked"


def test_globals_and_expiry_are_judged_too(desk: Desk, forge: Callable[..., Path]) -> None:
    uses = (GlobalReference("posix", "system", ("call",)),)
    claims: dict[str, Any]
    for claims, code in (
        ({"description": Payload("joblib", "1.2", "none", 7, uses, Counts(1, 0, 0, 1))}, "global-not-allowed"),
        ({"expires": int(time.time()) - 1}, "expired"),
    ):
        path = forge(keys=[desk.key], **claims)
        desk.sign_statement(b"{}")
        with pytest.raises(VerificationError) as caught:
            safemodel.verify_oms(path, desk.bundle, trust=desk.public)
        assert caught.value.code == code


def test_a_caller_allows_with_bare_keys_only(desk: Desk, keys: Path) -> None:
    safemodel.verify_oms(desk.artifact, desk.bundle, trust=desk.public, allow=["acme.transformers.Clip"])
    with pytest.raises(ConfigurationError):
        safemodel.verify_oms(desk.artifact, desk.bundle, trust=keys, allow=["acme.transformers.Clip"])
