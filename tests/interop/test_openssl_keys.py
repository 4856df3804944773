"""Keys and signatures go both ways between safemodel and the `openssl` command."""

import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from safemodel.errors import KeyMaterialError
from safemodel.signing import HmacSha256Key, generate_keyfile, load_signer, load_verifying_key
from safemodel.signing.ecdsa_p256 import low_s

PASSPHRASE = "correct horse"
MESSAGE = b"DSSEv1 the signed bytes"

P256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
GENPKEY = {"ed25519": ["-algorithm", "ed25519"], "ecdsa-p256-sha256": P256}

pairs = pytest.mark.parametrize("algorithm", list(GENPKEY))

OpenSSL = Callable[..., bytes]


@pytest.fixture
def message(tmp_path: Path) -> bytes:
    (tmp_path / "message").write_bytes(MESSAGE)
    return MESSAGE


@pytest.mark.parametrize("passphrase", [PASSPHRASE, False], ids=["encrypted", "plain"])
@pairs
def test_openssl_reads_our_key_files(algorithm: str, passphrase: str, tmp_path: Path, openssl: OpenSSL) -> None:
    generate_keyfile(tmp_path / "key", algorithm=algorithm, passphrase=passphrase)
    public = openssl("pkey", "-in", "key", "-passin", f"pass:{PASSPHRASE}", "-pubout")
    assert public == (tmp_path / "key.pub").read_bytes()


@pytest.mark.parametrize(
    "encryption",
    [
        ["-topk8", "-nocrypt"],
        ["-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"],
        ["-topk8", "-v2", "aes-128-cbc"],
        ["-topk8", "-scrypt"],
        ["-topk8", "-scrypt", "-scrypt_N", "4096", "-scrypt_r", "4", "-scrypt_p", "2"],
    ],
    ids=lambda encryption: " ".join(encryption[1:4]),
)
@pairs
def test_we_read_keys_by_openssl(algorithm: str, encryption: list[str], tmp_path: Path, openssl: OpenSSL) -> None:
    openssl("genpkey", *GENPKEY[algorithm], "-out", "generated")
    openssl("pkcs8", *encryption, "-in", "generated", "-passout", f"pass:{PASSPHRASE}", "-out", "key")
    openssl("pkey", "-in", "generated", "-pubout", "-out", "key.pub")
    signer = load_signer(tmp_path / "key", passphrase=PASSPHRASE)
    assert signer.algorithm == algorithm
    assert signer.verifying_key == load_verifying_key(tmp_path / "key.pub")


@pairs
def test_we_read_what_genpkey_encrypts(algorithm: str, tmp_path: Path, openssl: OpenSSL) -> None:
    openssl("genpkey", *GENPKEY[algorithm], "-aes-256-cbc", "-pass", f"pass:{PASSPHRASE}", "-out", "key")
    assert load_signer(tmp_path / "key", passphrase=PASSPHRASE).algorithm == algorithm
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "key", passphrase="wrong")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "key")


def test_openssl_verifies_our_ed25519_signature(tmp_path: Path, openssl: OpenSSL, message: bytes) -> None:
    generate_keyfile(tmp_path / "key", passphrase=False)
    (tmp_path / "signature").write_bytes(load_signer(tmp_path / "key").sign(message))
    verify = ["-verify", "-rawin", "-pubin", "-inkey", "key.pub", "-sigfile", "signature", "-in", "message"]
    openssl("pkeyutl", *verify)


def test_openssl_verifies_our_ecdsa_signatures(tmp_path: Path, openssl: OpenSSL, message: bytes) -> None:
    generate_keyfile(tmp_path / "key", algorithm="ecdsa-p256-sha256", passphrase=False)
    signer = load_signer(tmp_path / "key")
    for _ in range(8):  # about half of them were normalised
        (tmp_path / "signature").write_bytes(signer.sign(message))
        openssl("dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "message")


def test_we_verify_an_ed25519_signature_by_openssl(tmp_path: Path, openssl: OpenSSL, message: bytes) -> None:
    generate_keyfile(tmp_path / "key", passphrase=False)
    signature = openssl("pkeyutl", "-sign", "-rawin", "-inkey", "key", "-in", "message")
    load_verifying_key(tmp_path / "key.pub").verify(signature, message)


def test_we_verify_an_ecdsa_signature_by_openssl(tmp_path: Path, openssl: OpenSSL, message: bytes) -> None:
    generate_keyfile(tmp_path / "key", algorithm="ecdsa-p256-sha256", passphrase=False)
    signature = openssl("dgst", "-sha256", "-sign", "key", "message")
    load_verifying_key(tmp_path / "key.pub").verify(low_s(signature), message)


@pytest.fixture
def traditional(openssl: OpenSSL) -> OpenSSL:
    """As `openssl`, with a SEC 1 key in `sec1` and its public key in `key.pub`."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1")  # with an EC PARAMETERS block before the key
    openssl("pkey", "-in", "sec1", "-pubout", "-out", "key.pub")
    return openssl


def test_traditional_key_is_read(tmp_path: Path, traditional: OpenSSL) -> None:
    assert load_signer(tmp_path / "sec1").verifying_key == load_verifying_key(tmp_path / "key.pub")


def test_traditional_encrypted_key_is_refused_and_reads_after_the_conversion_we_name(
    tmp_path: Path, traditional: OpenSSL
) -> None:
    word = f"pass:{PASSPHRASE}"
    traditional("ec", "-in", "sec1", "-aes256", "-passout", word, "-out", "encrypted")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "encrypted", passphrase=PASSPHRASE)
    traditional(
        *("pkcs8", "-topk8", "-scrypt", "-in", "encrypted", "-out", "converted", "-passin", word, "-passout", word)
    )
    signer = load_signer(tmp_path / "converted", passphrase=PASSPHRASE)
    assert signer.verifying_key == load_verifying_key(tmp_path / "key.pub")


def test_compressed_public_key_has_the_same_key_id(tmp_path: Path, traditional: OpenSSL) -> None:
    traditional("ec", "-in", "sec1", "-conv_form", "compressed", "-pubout", "-out", "compressed.pub")
    assert load_verifying_key(tmp_path / "compressed.pub") == load_verifying_key(tmp_path / "key.pub")


@pytest.mark.parametrize("form", [["-param_enc", "explicit"], ["-conv_form", "hybrid"]], ids=["explicit", "hybrid"])
def test_other_public_encodings_are_refused_and_read_after_the_conversion_we_name(
    form: list[str], tmp_path: Path, traditional: OpenSSL
) -> None:
    traditional("ec", "-in", "sec1", *form, "-pubout", "-out", "other.pub")
    with pytest.raises(KeyMaterialError):
        load_verifying_key(tmp_path / "other.pub")
    conversion = ["-ec_param_enc", "named_curve", "-ec_conv_form", "uncompressed"]
    traditional("pkey", "-pubin", "-in", "other.pub", "-pubout", *conversion, "-out", "converted.pub")
    assert load_verifying_key(tmp_path / "converted.pub") == load_verifying_key(tmp_path / "key.pub")


@pytest.mark.parametrize("command", ["ec", "pkey"], ids=["sec1", "pkcs8"])
def test_explicit_private_key_is_refused_and_reads_after_the_conversion_we_name(
    command: str, tmp_path: Path, traditional: OpenSSL
) -> None:
    option = "-param_enc" if command == "ec" else "-ec_param_enc"
    traditional(command, "-in", "sec1", option, "explicit", "-out", "explicit")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "explicit")
    traditional("pkey", "-in", "explicit", "-ec_param_enc", "named_curve", "-out", "converted")
    assert load_signer(tmp_path / "converted").verifying_key == load_verifying_key(tmp_path / "key.pub")


@pytest.mark.parametrize(
    "algorithm",
    [
        ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["-algorithm", "X25519"],
        ["-algorithm", "ed448"],
    ],
    ids=["rsa", "p384", "x25519", "ed448"],
)
def test_other_algorithms_are_refused(algorithm: list[str], tmp_path: Path, openssl: OpenSSL) -> None:
    openssl("genpkey", *algorithm, "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "key.pub")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "key")
    with pytest.raises(KeyMaterialError):
        load_verifying_key(tmp_path / "key.pub")


def test_der_is_refused_and_reads_after_the_conversion_we_name(tmp_path: Path, openssl: OpenSSL) -> None:
    openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER", "-out", "key.der")
    with pytest.raises(KeyMaterialError):
        load_signer(tmp_path / "key.der")
    openssl("pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
    assert load_signer(tmp_path / "key.pem").algorithm == "ed25519"


def test_certificate_is_refused_and_reads_after_the_conversion_we_name(tmp_path: Path, openssl: OpenSSL) -> None:
    made = generate_keyfile(tmp_path / "key", passphrase=False)
    openssl("req", "-x509", "-new", "-key", "key", "-subj", "/CN=release", "-out", "certificate")
    for load in (load_signer, load_verifying_key):
        with pytest.raises(KeyMaterialError):
            load(tmp_path / "certificate")
    (tmp_path / "extracted.pub").write_bytes(openssl("x509", "-in", "certificate", "-pubkey", "-noout"))
    assert load_verifying_key(tmp_path / "extracted.pub") == made


def test_openssl_makes_the_same_mac(openssl: OpenSSL, message: bytes) -> None:
    secret = bytes(range(32))
    derive = ["-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", f"hexkey:{secret.hex()}"]
    key = openssl("kdf", "-binary", *derive, "-kdfopt", "info:safemodel/v1/hmac-sha256/mac", "HKDF")
    mac = openssl("mac", "-binary", "-digest", "SHA256", "-macopt", f"hexkey:{key.hex()}", "-in", "message", "HMAC")
    assert hmac.compare_digest(mac, HmacSha256Key(secret).sign(message))
