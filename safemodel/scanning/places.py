"""How a file is named in what leaves this machine: relative to where the scan ran, as a URI, whatever bytes it has."""

import os
from urllib.parse import quote


def uri_of(path: str) -> str:
    """Return the URI reference of a path (RFC 3986): relative with `/` below the working folder, else absolute.

    Bytes that are no UTF-8 are percent-encoded like all others that a URI does not hold.
    """
    whole = os.path.abspath(path)
    root = os.path.join(os.getcwd(), "")
    if whole.startswith(root):
        relative = quote(os.fsencode(whole.removeprefix(root).replace(os.sep, "/")))
        return f"./{relative}" if ":" in relative.partition("/")[0] else relative
    return f"file://{quote(os.fsencode(whole.replace(os.sep, '/')))}"


def is_relative(uri: str) -> bool:
    """Tell whether `uri_of` found the path below the working folder."""
    return not uri.startswith("file://")
