"""Who vouches: signers and verifying keys, one file per algorithm or backend, and the files they live in.

Importing this room loads no cryptography and no backend; each loads its own when it is first used.
"""

from safemodel.signing.ecdsa_p256 import EcdsaP256Signer, EcdsaP256VerifyingKey
from safemodel.signing.ed25519 import Ed25519Signer, Ed25519VerifyingKey
from safemodel.signing.hmac_sha256 import HmacSha256Key, refuse_public_as_secret
from safemodel.signing.keyfile import (
    ALGORITHMS,
    change_passphrase,
    generate_keyfile,
    load_signer,
    load_verifying_key,
    signer_from_pem,
    verifying_key_from_pem,
    write_verifying_key,
)
from safemodel.signing.passphrase import Passphrase
from safemodel.signing.signer import Signer, VerifyingKey, compute_key_id, sign_checked

__all__ = [
    "ALGORITHMS",
    "EcdsaP256Signer",
    "EcdsaP256VerifyingKey",
    "Ed25519Signer",
    "Ed25519VerifyingKey",
    "HmacSha256Key",
    "Passphrase",
    "Signer",
    "VerifyingKey",
    "change_passphrase",
    "compute_key_id",
    "generate_keyfile",
    "load_signer",
    "load_verifying_key",
    "refuse_public_as_secret",
    "sign_checked",
    "signer_from_pem",
    "verifying_key_from_pem",
    "write_verifying_key",
]
