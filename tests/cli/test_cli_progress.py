"""The bar: silent at first, drawn over itself, gone at the end, and absent where nobody looks."""

import io
import sys

import pytest

from safemodel.cli.progress import Bar, progress


class Terminal(io.StringIO):
    """A terminal of unknown size that keeps what was written."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> str:
        """What stands in the line after all that was written."""
        line = ""
        for text in self.getvalue().split("\r"):
            line = text + line[len(text) :]
        return line.rstrip()


class Clock:
    """A clock that goes only when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_drawn_for_short_work(terminal: Terminal, clock: Clock) -> None:
    bar = Bar("verifying", terminal, clock)
    clock.now += 0.4
    bar.update(50, 100)
    bar.clear()
    assert terminal.getvalue() == ""


def test_long_work_shows_how_far_it_is(terminal: Terminal, clock: Clock) -> None:
    bar = Bar("verifying churn", terminal, clock)
    clock.now += 0.6
    bar.update(50, 100)
    assert terminal.screen == f"[{'#' * 12}{' ' * 12}]  50% verifying churn"
    bar.update(75, 100)
    assert "50%" in terminal.screen  # too soon to be drawn again
    clock.now += 0.2
    bar.update(100, 100)
    assert terminal.screen == f"[{'#' * 24}] 100% verifying churn"
    bar.clear()
    assert terminal.screen == ""


def test_a_total_that_is_unknown(terminal: Terminal, clock: Clock) -> None:
    bar = Bar("dumping", terminal, clock)
    clock.now += 1
    bar.update(50, 0)
    assert "dumping" in terminal.screen


def test_the_line_fits_and_the_label_is_harmless(terminal: Terminal, clock: Clock) -> None:
    bar = Bar("\x1b[2J" * 100, terminal, clock)
    clock.now += 1
    bar.update(1, 2)
    assert len(terminal.screen) < 80
    assert "\x1b" not in terminal.getvalue()


def test_the_bar_is_cleared_when_the_work_fails(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("safemodel.cli.progress._QUIET_SECONDS", 0)

    def work() -> None:
        with progress("verifying") as report:
            assert report is not None
            report(1, 2)
            assert "50%" in terminal.screen
            raise InterruptedError

    with pytest.raises(InterruptedError):
        work()
    assert terminal.screen == ""


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_bar_without_a_terminal(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("verifying") as report:
        assert report is None
