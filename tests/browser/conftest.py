"""A browser for the tests of this folder, started once."""

from collections.abc import Iterator

import pytest
from browser.chromium import NAMES, Browser, browsing, find


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, with one page."""
    command = find()
    if command is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    with browsing(command, tmp_path_factory.mktemp("profile")) as started:
        yield started
