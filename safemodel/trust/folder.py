"""Changes of a trust folder: the policy is the old one or the new one at any moment, and always one that can be read.

Rules kept here:

* Before the file is replaced, the strict reader has read what will be in it; else the old one stays.
* A new key's file is there before the policy that names it, and goes again if that is not written.
* Only a public key is copied. A secret is never put into the folder, and need not be at hand to edit the rest.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from safemodel import system
from safemodel.errors import KeyMaterialError
from safemodel.signing import (
    EcdsaP256VerifyingKey,
    Ed25519VerifyingKey,
    HmacSha256Key,
    load_verifying_key,
    verifying_key_from_pem,
)
from safemodel.signing.hmac_sha256 import PEM_LABEL
from safemodel.signing.keyfile import KEYFILE_MAX, PUBLIC_SUFFIX
from safemodel.signing.pem import PUBLIC_KEY, PemBlock
from safemodel.trust.editing import BLANK, Change, edited
from safemodel.trust.fields import naming
from safemodel.trust.loader import POLICY_FILE, read_key, read_policy_text
from safemodel.trust.policy import ENVIRONMENT_REFERENCE, FILE_REFERENCE, TrustPolicy

_PUBLIC_MODE: Final = 0o644


def read_public_key(path: str) -> bytes:
    """Return a public key as PEM, to be put into a folder: the key alone, whatever else its file says.

    Raises:
        KeyMaterialError: it is not the file of a public key.
        OSError: it cannot be read.
    """
    key = load_verifying_key(path)
    if isinstance(key, Ed25519VerifyingKey | EcdsaP256VerifyingKey):
        return key.to_pem()
    raise KeyMaterialError(
        f"{path!r}: expected a public key, found a secret that signs",
        hint="it must not lie in the folder: refer to it with --reference env:NAME or file:PATH",
    )


def make_folder(folder: str, keys: Mapping[str, bytes], *changes: Change) -> TrustPolicy:
    """Make a trust folder, or put a policy into one that has none.

    Args:
        folder: made if it is not there.
        keys: files to put into it, by name.
        changes: of a policy that trusts nobody.

    Raises:
        FileExistsError: it has a policy; nothing was changed.
        ConfigurationError: such a policy would be no good.
        OSError: the folder cannot be written to.
    """
    place = os.path.abspath(folder)
    path = os.path.join(place, POLICY_FILE)
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is a policy already; 'safemodel trust add' adds to it", path)
    text = edited(BLANK, *changes)
    policy = _read(text, place, keys)
    os.makedirs(place, exist_ok=True)
    with _files(place, keys):
        system.create_exclusive(path, text.encode(), mode=_PUBLIC_MODE)
    return policy


def edit_folder(folder: str, keys: Mapping[str, bytes], *changes: Change) -> TrustPolicy:
    """Change the policy of a folder.

    Args:
        folder: with a `trust.toml` that can be read.
        keys: files to put into it first, by name.
        changes: of the policy.

    Returns:
        The new policy.

    Raises:
        ConfigurationError: the policy is no good, or would be none afterwards; nothing was changed.
        KeyMaterialError: likewise, for a key.
        OSError: a file cannot be read or written; nothing was changed.
    """
    place = os.path.abspath(folder)
    path = os.path.join(place, POLICY_FILE)
    read_policy_text(path)  # first: where there is none, the lock would say less
    with system.locked(path):
        before = read_policy_text(path)
        _read(before, place, {})
        with naming("nothing was changed"):
            text = edited(before, *changes)
            policy = _read(text, place, keys)
        with _files(place, keys), system.atomic_file(path) as file:
            file.write(text.encode())
    return policy


def delete_unused(policy: TrustPolicy, before: TrustPolicy) -> tuple[str, ...]:
    """Delete the key files that no signer of a policy has any more, and return their paths."""
    used = {reference for signer in policy.signers for reference in signer.keys}
    had = {reference for signer in before.signers for reference in signer.keys if not is_elsewhere(reference)}
    paths = tuple(os.path.join(policy.folder, name) for name in sorted(had - used))
    for path in paths:
        os.unlink(path)
    return paths


def read_for_editing(folder: str) -> TrustPolicy:
    """Read the policy of a folder, with a stand-in for each secret that is not at hand.

    Whoever edits the rules need not hold the secrets of machines. Nothing may be decided by the result.

    Raises:
        ConfigurationError: there is no policy, or it is no good.
        KeyMaterialError: a key cannot be used.
        OSError: a file cannot be read.
    """
    place = os.path.abspath(folder)
    return _read(read_policy_text(os.path.join(place, POLICY_FILE)), place, {})


def is_elsewhere(reference: str) -> bool:
    """Tell whether a reference of `keys` is to a secret outside of the folder."""
    return reference.startswith((ENVIRONMENT_REFERENCE, FILE_REFERENCE))


def is_absent_secret(reference: str) -> bool:
    """Tell whether a reference of `keys` is to a secret that is not at hand here."""
    if reference.startswith(ENVIRONMENT_REFERENCE):
        return not os.environ.get(reference.removeprefix(ENVIRONMENT_REFERENCE))
    path = reference.removeprefix(FILE_REFERENCE)
    return reference.startswith(FILE_REFERENCE) and os.path.isabs(path) and not os.path.lexists(path)


def key_files(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the public keys' files in a folder, and of those that hold a secret."""
    public, secret = [], []
    for name in sorted(os.listdir(folder)):
        label = _label(os.path.join(folder, name))
        if name.endswith(PUBLIC_SUFFIX) or label == PUBLIC_KEY:
            public.append(name)
        elif label == PEM_LABEL or label.endswith("PRIVATE KEY"):
            secret.append(name)
    return public, secret


def _label(path: str) -> str:
    try:
        with open(system.open_regular(path), "rb") as file:
            return PemBlock.from_bytes(file.read(KEYFILE_MAX)).label
    except (KeyMaterialError, OSError):
        return ""


def _read(text: str, place: str, keys: Mapping[str, bytes]) -> TrustPolicy:
    def read(reference: str) -> bytes:
        if reference in keys:
            return keys[reference]
        return HmacSha256Key.generate().to_pem() if is_absent_secret(reference) else read_key(place, reference)

    return TrustPolicy.from_toml(text, read, path=os.path.join(place, POLICY_FILE))


@contextmanager
def _files(place: str, keys: Mapping[str, bytes]) -> Iterator[None]:
    """Write key files, and take them away again if the body fails."""
    with ExitStack() as written:
        for name, data in keys.items():
            path = os.path.join(place, name)
            if not _has(path, data):
                system.create_exclusive(path, data, mode=_PUBLIC_MODE)
                written.callback(os.unlink, path)
        yield
        written.pop_all()


def _has(path: str, data: bytes) -> bool:
    """Tell whether a file is there with this key, as where it was put into the folder by hand."""
    try:
        return load_verifying_key(path).key_id == verifying_key_from_pem(data).key_id
    except FileNotFoundError:
        return False
