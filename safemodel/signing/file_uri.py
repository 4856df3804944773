"""`file:PATH` and `file:///PATH` (RFC 8089): a key file on this machine, with %XX for what a URI cannot hold."""

from pathlib import Path

from safemodel.errors import ConfigurationError
from safemodel.signing.keyfile import load_signer
from safemodel.signing.passphrase import Passphrase
from safemodel.signing.signer import Signer


def signer_from_uri(rest: str, passphrase: Passphrase | None) -> Signer:
    """Get ready to sign with a key file.

    Raises:
        ConfigurationError: the URI names another machine, or nothing.
        KeyMaterialError, OSError: as for `load_signer`.
    """
    return load_signer(path_of(rest), passphrase=passphrase)


def path_of(rest: str) -> Path:
    """Return the path that stands behind `file:`."""
    from urllib.request import url2pathname  # knows drive letters

    path = rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        path = slash + path
        if host not in ("", "localhost"):
            raise ConfigurationError("expected a file on this machine, found a host in the file: URI", hint=_FORM)
    if not path or "?" in path or "#" in path:
        raise ConfigurationError("expected a path in the file: URI, found none, or '?' or '#'", hint=_FORM)
    return Path(url2pathname(path))


_FORM = "write file:release.key or file:///etc/keys/release.key, with %3F for '?' and %23 for '#'"
