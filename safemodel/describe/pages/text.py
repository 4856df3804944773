"""Text that others chose, made fit to be shown.

A terminal obeys control characters, and bidirectional ones make a line look like another (CVE-2021-42574); a page of
HTML shows neither for what it is.
"""


def printable(text: str) -> str:
    """Return the text with everything but visible characters and the space escaped, lone surrogates included."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, and how many it has where that is not all."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def moment(seconds: int) -> str:
    """Return seconds since 1970 as ISO 8601 UTC; past the year 9999, as `date` takes them: `@SECONDS`."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"
