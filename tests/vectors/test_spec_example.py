"""docs/spec.md is enough to write a second reader, and its examples are what the code makes, byte for byte.

The key of the example is from RFC 8032, section 7.1, test 1: everyone can sign with it.
"""

import dataclasses
import importlib.util
import io
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import msgpack
import numpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import safemodel
from safemodel.countersigning import add_signatures
from safemodel.errors import FormatError, SafemodelError, SignatureMismatchError
from safemodel.format import wire
from safemodel.format.container import INDEX, Entry, derive_layout
from safemodel.format.content import Content
from safemodel.format.envelope import SignatureSet, artifact_digest, signed_bytes
from safemodel.format.limits import CHUNK_SIZE_MIN
from safemodel.format.manifest import Creator, GlobalReference, Manifest, Payload
from safemodel.format.names import check_model_name, check_model_version
from safemodel.format.source import open_source
from safemodel.format.unverified import read_unverified
from safemodel.format.writer import ArtifactWriter
from safemodel.payload.index import encode_index
from safemodel.payload.walk import walk
from safemodel.signing import EcdsaP256Signer, Ed25519Signer, HmacSha256Key, Signer
from safemodel.trust.decision import Requirements, judge
from safemodel.trust.names import ANY_NAME
from safemodel.trust.policy import TrustPolicy

HERE = Path(__file__).parent
SPEC = (HERE.parents[1] / "docs" / "spec.md").read_text(encoding="utf-8")
DUMP = (HERE / "example.hex").read_text(encoding="ascii")


def _second_reader() -> Any:
    place = importlib.util.spec_from_file_location("second_reader", HERE / "second_reader.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


second = _second_reader()


def from_hex_dump(dump: str) -> bytes:
    """What `xxd -r` makes of it: lines that are left out are zeroes."""
    data = bytearray()
    for offset, digits in re.findall(r"^([0-9a-f]{8}): ((?:[0-9a-f]{2,4} )+)", dump, re.MULTILINE):
        data += bytes(int(offset, 16) - len(data)) + bytes.fromhex(digits)
    return bytes(data)


def spec_table(heading: str) -> list[list[str]]:
    """The rows under a heading of the spec that start with hexadecimal digits or a name in backquotes."""
    text = SPEC.split(f"\n### {heading}\n", 2)[-1].split("\n#", 1)[0]
    return [[cell.strip().strip("`") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*\|$", text, re.M)]


EXAMPLE = from_hex_dump(DUMP)
KEYS = {name: bytes.fromhex(digits) for name, digits in spec_table("Keys")}
ED25519 = Ed25519PrivateKey.from_private_bytes(KEYS["ed25519 secret"])
P256 = derive_private_key(int.from_bytes(KEYS["p256 secret"], "big"), SECP256R1())
SECRET = KEYS["hmac secret"]

SIGNERS: dict[str, tuple[Signer, Any]] = {
    "ed25519": (Ed25519Signer(ED25519), ED25519.public_key()),
    "ecdsa-p256-sha256": (EcdsaP256Signer(P256), P256.public_key()),
    "hmac-sha256": (HmacSha256Key(SECRET), SECRET),
}


def pack(
    payload: bytes,
    signers: list[Signer],
    *,
    algorithm: str = "blake3",
    chunk_size: int = 4 * 2**20,
    attachments: dict[str, bytes] | None = None,
) -> bytes:
    """Make the artifact of the example, or one like it with another payload."""
    found = walk(memoryview(payload))
    references = tuple(GlobalReference(use.module, use.name, use.roles) for use in found.globals)
    file = io.BytesIO()
    with ArtifactWriter(file, "joblib", algorithm, chunk_size) as writer:
        writer.write(payload)
        entries, digests = writer.describe({INDEX: encode_index(found.regions)} | (attachments or {}))
        manifest = Manifest(
            creator=Creator("safemodel", "0.1.0"),
            name="acme/churn",
            version="1.4.0",
            created=1767225600,
            expires=1798761600,
            entries=entries,
            digest=digests,
            payload=Payload("joblib", "1.2", "none", len(payload), references, found.counts),
            training={"metrics": {"roc_auc": 0.91}},
        ).to_bytes()
        writer.finish(manifest, add_signatures(SignatureSet(()), signers, artifact_digest(manifest)))
    return file.getvalue()


def first_reader(data: bytes, signer: Signer) -> None:
    """What safemodel does up to step 5, without the caller's name and clock."""
    source = open_source(io.BytesIO(data))
    unverified = read_unverified(source)
    policy = TrustPolicy.from_keys([signer.verifying_key])
    required = Requirements(policy, ANY_NAME, now=0)
    judge(artifact_digest(unverified.manifest_bytes), unverified.signatures, required).check()
    Content.of(source, unverified).check()


def both_refuse(data: bytes) -> bool:
    """Whether both readers refuse what should be signed by the example's key."""
    signer, public = SIGNERS["ed25519"]
    with pytest.raises(SafemodelError):
        first_reader(data, signer)
    with pytest.raises(second.Refused):
        second.read(data, public)
    return True


def core(data: bytes) -> dict[str, Any]:
    """The manifest without its optional fields."""
    manifest = second.read(data, ED25519.public_key()).manifest
    return {name: value for name, value in manifest.items() if name != "training"}


def paths(value: Any, place: str = "") -> Iterator[str]:
    """How the spec writes the place of every field: `payload.globals[].name`."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{place}[]")
    if isinstance(value, dict):
        for name, item in value.items():
            here = f"{place}.{name}" if place else name
            yield here
            yield from paths(item, here)


def with_manifest(manifest: dict[str, Any]) -> bytes:
    """The example with another manifest, signed again."""
    contents = dict(second.read(EXAMPLE, ED25519.public_key()).contents)
    data = wire.encode(manifest)
    signatures = add_signatures(SignatureSet(()), [SIGNERS["ed25519"][0]], artifact_digest(data))
    contents |= {"manifest.msgpack": data, "signatures.msgpack": signatures.to_bytes()}
    layout = derive_layout([Entry(name, len(content), zlib.crc32(content)) for name, content in contents.items()])
    pairs = zip(layout.headers, contents.values(), strict=True)
    return b"".join([header + content for header, content in pairs]) + layout.trailer


def variants(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced, missing or added."""
    yield from (None, True, 0, -1, 2**53, 1.5, "", "joblib", b"", bytes(32), [], {}, {"critical": True, "value": 0})
    if isinstance(value, dict):
        yield value | {"another": 0}
        for name, item in value.items():
            yield {key: kept for key, kept in value.items() if key != name}
            yield from ({**value, name: changed} for changed in variants(item))
    if isinstance(value, list):
        yield value[::-1]
        yield [*value, *value]
        for number, item in enumerate(value):
            yield from ([*value[:number], changed, *value[number + 1 :]] for changed in variants(item))


def accepted(read: Callable[[], object]) -> bool:
    """Whether a reader accepts; anything but a refusal of its own passes through."""
    try:
        read()
    except (SafemodelError, second.Refused):
        return False
    return True


def test_spec_shows_the_example() -> None:
    assert f"```\n{DUMP}```" in SPEC


def test_code_makes_the_example() -> None:
    payload = second.read(EXAMPLE, ED25519.public_key()).contents["payload.joblib"]
    assert pack(payload, [SIGNERS["ed25519"][0]]) == EXAMPLE


def test_xxd_reads_the_example(tmp_path: Path) -> None:
    if which("xxd") is None:
        pytest.skip("xxd is missing")
    subprocess.run(["xxd", "-r", str(HERE / "example.hex"), str(tmp_path / "example.safemodel")], check=True)
    assert (tmp_path / "example.safemodel").read_bytes() == EXAMPLE


def test_second_reader_sees_in_the_example_what_the_spec_says() -> None:
    artifact = second.read(EXAMPLE, ED25519.public_key())
    assert artifact.manifest["name"] == "acme/churn"
    assert artifact.manifest["training"] == {"metrics": {"roc_auc": 0.91}}
    assert artifact.regions == [(249, 256, 24, 0)]
    assert artifact.digest.hex() in SPEC
    assert EXAMPLE[4096:].startswith(artifact.contents["payload.joblib"])


def test_spec_lists_the_fields_of_the_manifest() -> None:
    section = SPEC.split("\n## Manifest\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| (yes|no) \|", section, re.MULTILINE)
    optional = [name for name, required in rows if required == "no"]
    assert {name for name, required in rows if required == "yes"} == set(paths(core(EXAMPLE)))
    assert set(optional) == {item.name for item in dataclasses.fields(Manifest) if item.default_factory is dict}


def test_second_reader_imports_nothing_of_safemodel() -> None:
    assert "safemodel" not in {word for line in _imports() for word in re.split(r"[ .,]", line)}


def _imports() -> list[str]:
    text = (HERE / "second_reader.py").read_text(encoding="utf-8")
    found = re.findall(r"^ *(?:import|from) .*$", text, re.MULTILINE)
    assert found
    return found


@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
@pytest.mark.parametrize("name", SIGNERS)
def test_second_reader_reads_what_dump_writes(name: str, algorithm: str) -> None:
    signer, public = SIGNERS[name]
    file = io.BytesIO()
    model = {"weights": numpy.arange(100.0), "labels": numpy.array(["no", None], dtype=object)}
    digest = safemodel.dump(model, file, key=signer, name="acme/churn", version="1.4.0", digest=algorithm)
    artifact = second.read(file.getvalue(), public)
    assert artifact.digest.hex() == digest
    assert sorted(region.kind for region in artifact.regions) == [0, 1]
    assert artifact.manifest["payload"]["counts"]["arrays"] == 2


def test_second_reader_reads_several_chunks_attachments_and_signers() -> None:
    payload = second.read(EXAMPLE, ED25519.public_key()).contents["payload.joblib"]
    attachments = {"example.bin": bytes(3 * CHUNK_SIZE_MIN), "empty.txt": b"", "notes.txt": b"two"}
    signers = [signer for signer, _ in SIGNERS.values()]
    data = pack(payload, signers, algorithm="sha256", chunk_size=CHUNK_SIZE_MIN, attachments=attachments)
    for _, public in SIGNERS.values():
        artifact = second.read(data, public)
        assert {name: artifact.contents[name] for name in attachments} == attachments
        assert len(artifact.contents["digests"]) == 32 * (1 + 1 + 1 + 3 + 0 + 1)


@pytest.mark.parametrize("size", [0, 298, 2**32 - 300, 2**32 - 2, 2**32, 2**40])
@pytest.mark.parametrize("attachments", [[], [0, 2**32 - 2], [2**32, 5, 2**33]])
def test_both_readers_derive_the_same_structure(size: int, attachments: list[int]) -> None:
    numbered = [Entry(f"attachment-{number}", size, number) for number, size in enumerate(attachments)]
    mimetype = Entry("mimetype", 29, 0x311D5FC8)
    last = [Entry("digests", 64, 3), Entry("manifest.msgpack", 600, 4), Entry("signatures.msgpack", 112, 5)]
    entries = [mimetype, Entry("payload.joblib", size, 1), Entry("index", 32, 2), *numbered, *last]
    layout = derive_layout(entries)
    headers = list(zip(layout.header_offsets, layout.headers, strict=True))
    assert second.derive(entries) == (headers, layout.directory_offset, layout.trailer)


def test_both_readers_refuse_a_changed_bit_anywhere() -> None:
    for position in range(len(EXAMPLE)):
        if EXAMPLE[position] or position % 64 == 0:  # of the zero padding, some
            changed = bytearray(EXAMPLE)
            changed[position] ^= 1 << position % 8
            assert both_refuse(bytes(changed)), position


def test_both_readers_agree_on_every_signed_manifest() -> None:
    signer, public = SIGNERS["ed25519"]
    extensions = {"example.com/audit": {"critical": False, "value": [1, None]}}
    manifest = second.read(EXAMPLE, public).manifest | {"extensions": extensions}
    assert accepted(partial(second.read, with_manifest(manifest), public))
    verdicts = set()
    for changed in variants(manifest):
        data = with_manifest(changed)
        verdict = accepted(partial(second.read, data, public))
        assert accepted(partial(first_reader, data, signer)) is verdict, changed
        verdicts.add(verdict)
    assert verdicts == {True, False}


VERSIONS = st.from_regex(second.VERSION, fullmatch=True) | st.text("0123.abrcpostdev!+-_ \n", max_size=20)
NAMES = st.from_regex(f"{second.PART}(/{second.PART})*", fullmatch=True) | st.text("ab01._-/A\n", max_size=20)


@given(version=VERSIONS)
def test_both_readers_accept_the_same_versions(version: str) -> None:
    expected = accepted(lambda: second.check_name_and_version("churn", version))
    assert accepted(lambda: check_model_version(version)) is expected


@given(name=NAMES)
def test_both_readers_accept_the_same_names(name: str) -> None:
    assert accepted(lambda: check_model_name(name)) is accepted(lambda: second.check_name_and_version(name, None))


@pytest.mark.parametrize("size", [0, 21, 22, 4096, len(EXAMPLE) - 1])
def test_both_readers_refuse_a_truncated_file(size: int) -> None:
    assert both_refuse(EXAMPLE[:size])


@pytest.mark.parametrize("change", [lambda data: b"\0" + data, lambda data: data + b"\0", lambda data: data + data])
def test_both_readers_refuse_added_bytes(change: Callable[[bytes], bytes]) -> None:
    assert both_refuse(change(EXAMPLE))


@pytest.mark.parametrize(("digits", "verdict", "what"), spec_table("Wire"))
def test_wire_vectors(digits: str, verdict: str, what: str) -> None:
    data = bytes.fromhex(digits)
    if verdict == "accepted":
        assert wire.decode(data, maximum=64, where="vector") == second.decode(data, 64)
        return
    with pytest.raises(FormatError):
        wire.decode(data, maximum=64, where="vector")
    with pytest.raises(second.Refused):
        second.decode(data, 64)


def test_wire_vectors_hold_both_verdicts() -> None:
    assert {verdict for _, verdict, _ in spec_table("Wire")} == {"accepted", "refused"}


@pytest.mark.parametrize(
    ("name", "prefix"), [("ed25519", "ed25519"), ("ecdsa-p256-sha256", "p256"), ("hmac-sha256", "hmac")]
)
def test_key_vectors(name: str, prefix: str) -> None:
    signer, public = SIGNERS[name]
    assert signer.key_id == second.key_id_of(public) == KEYS[f"{prefix} key id"]
    message = signed_bytes(KEYS["digest"])
    assert message == KEYS["message"]
    signer.verifying_key.verify(KEYS[f"{prefix} signature"], message)
    second.check_signature(public, KEYS[f"{prefix} signature"], message)


def test_derived_keys_of_the_hmac_vector() -> None:
    assert second.hkdf(SECRET, b"safemodel/v1/hmac-sha256/mac") == KEYS["hmac mac key"]
    assert second.hkdf(SECRET, b"safemodel/v1/hmac-sha256/keyid") == KEYS["hmac raw"]


def test_high_s_of_the_p256_vector_is_refused() -> None:
    signer, public = SIGNERS["ecdsa-p256-sha256"]
    with pytest.raises(SignatureMismatchError):
        signer.verifying_key.verify(KEYS["p256 signature, high s"], KEYS["message"])
    with pytest.raises(second.Refused):
        second.check_signature(public, KEYS["p256 signature, high s"], KEYS["message"])


def test_signature_is_checked_by_hand_as_the_spec_says(tmp_path: Path) -> None:
    for tool in ("openssl", "unzip"):
        if which(tool) is None:
            pytest.skip(f"{tool} is missing")
    common, for_p256, key_id = re.findall(r"^```sh\n(.*?)^```$", SPEC.split("\n### By hand\n")[1], re.M | re.S)[:3]
    payload = second.read(EXAMPLE, ED25519.public_key()).contents["payload.joblib"]
    for name, commands, answer in [
        ("ed25519", common + key_id, "Signature Verified Successfully"),
        ("ecdsa-p256-sha256", "".join(common.splitlines(keepends=True)[:-1]) + for_p256, "Verified OK"),
    ]:
        signer = SIGNERS[name][0]
        (tmp_path / "churn.safemodel").write_bytes(pack(payload, [signer]))
        (tmp_path / "release.key.pub").write_bytes(signer.verifying_key.to_pem())  # type: ignore[attr-defined]
        done = subprocess.run(["sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert answer in done.stdout
        assert name != "ed25519" or signer.key_id.hex() in done.stdout


def test_records_are_where_the_spec_counts_them() -> None:
    records = msgpack.packb([{"keyid": bytes(range(32)), "sig": bytes(64)}])
    assert records[10:42] == bytes(range(32))
    assert len(records) == 48 + 64
