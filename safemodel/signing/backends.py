"""Where a private key may be when it is not simply a path: chosen by the scheme of a URI (RFC 3986).

Rules kept here:

* A URI is text that begins with a scheme of two characters or more and a colon. So `C:\\release.key` is a path, and a
  file whose name looks like a URI is written `./name:rest`. Path objects are always paths.
* An unknown scheme is an error, never a path.
* A backend is loaded when a key of its kind is used.
"""

import re
from collections.abc import Collection, Mapping
from importlib import import_module

from safemodel.errors import ConfigurationError
from safemodel.signing.passphrase import Passphrase
from safemodel.signing.signer import Signer

# The module of this package whose `signer_from_uri` takes what is after the colon.
BACKENDS: Mapping[str, str] = {
    "file": "file_uri",
    "ssh-agent": "ssh_agent",
    "pkcs11": "pkcs11",
    "awskms": "aws_kms",
}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def scheme_of(text: str) -> str | None:
    """Return the scheme in lower case, or None for a path."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else None


def signer_from_uri(uri: str, passphrase: Passphrase | None) -> Signer:
    """Get ready to sign with the key that a URI names.

    Raises:
        ConfigurationError: no such scheme, a URI that the backend does not understand, or something is not installed.
        KeyMaterialError: no such key, one that cannot sign here, or not with this passphrase or PIN.
        SigningError: the backend failed.
    """
    scheme = scheme_of(uri) or ""
    if scheme not in BACKENDS:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigurationError(
            f"expected a key's path or a URI with one of {known}, found scheme {scheme!r}",
            hint="if it is a file of that name, write './' before it",
        )
    signer: Signer = import_module(f"{__package__}.{BACKENDS[scheme]}").signer_from_uri(
        uri.partition(":")[2], passphrase
    )
    return signer


def parse_attributes(text: str, separator: str, known: Collection[str]) -> dict[str, str]:
    """Read `name=value` pairs; the values stay as they are.

    Args:
        text: part of a URI; empty for none.
        separator: between two pairs.
        known: all names that may be there, each at most once.

    Raises:
        ConfigurationError: another name, one twice, or no pair. No value is shown.
    """
    attributes: dict[str, str] = {}
    for pair in text.split(separator) if text else ():
        name, equals, value = pair.partition("=")
        if not equals or name not in known or name in attributes:
            raise ConfigurationError(
                f"expected each of {', '.join(known)} at most once in the key's URI, found something else",
                hint="see docs/keys.md, and write other characters as %XX",
            )
        attributes[name] = value
    return attributes
