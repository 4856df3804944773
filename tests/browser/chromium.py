"""A browser that tests ask questions: Chromium without a window, over the pipe of the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ ; messages are JSON, each ended by a null byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60  # seconds for one answer
# The shell puts the two ends of the pipes where Chromium looks for them.
START = 'exec "${@:3}" 3<&"$1" 4>&"$2"'
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


def find() -> str | None:
    """The browser's command, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Browser:
    """One page of a browser, and everything that it has said since it was opened."""

    reading: int
    writing: int
    rest: bytes = b""
    session: str | None = None
    number: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command, and return its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        os.write(self.writing, json.dumps(message | self._addressed()).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Show a page, from scratch, and wait until it is complete."""
        self.events.clear()
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        narrow = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=narrow)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, which the page's own policy does not hinder."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page has written to the console, and what the browser has said about it."""
        said = [event.get("params", {}) for event in self.events if event.get("method") in CONSOLE]
        return [json.dumps(each) for each in said]

    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        asked = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in asked]

    def picture(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def attach(self) -> None:
        """Take hold of a new page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _addressed(self) -> dict[str, str]:
        return {"sessionId": self.session} if self.session else {}

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.reading], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self.reading, 1 << 16)
            assert data, "the browser has ended"
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


CONSOLE = frozenset(("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"))


@contextmanager
def browsing(command: str, profile: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile, and end it."""
    commands, answers = os.pipe(), os.pipe()
    options = (*OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}")
    process = subprocess.Popen(
        ["bash", "-c", START, "bash", str(commands[0]), str(answers[1]), command, *options],
        pass_fds=(commands[0], answers[1]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    browser = Browser(answers[0], commands[1])
    try:
        browser.attach()
        yield browser
    finally:
        os.close(commands[1])  # the browser ends when nobody can command it
        process.wait(timeout=PATIENCE)
        os.close(answers[0])
