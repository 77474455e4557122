"""Drives headless Chromium over a pipe by the DevTools protocol: no driver, no port, no package."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")


class Browser:
    """One open tab."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer, self._sent = b"", 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        """Everything that the browser reported by itself."""

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and wait for its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        """Wait until the browser has reported an event."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Errors, warnings and exceptions reported so far."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in methods]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._back, 1 << 16)
            assert read, "the browser has ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@contextmanager
def opened(page: Path, width: int) -> Iterator[Browser]:
    """Open a page in a window of a width, in CSS pixels."""
    assert CHROMIUM.exists(), f"this test needs {CHROMIUM}: apt-get install chromium"
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()

    def as_expected() -> None:
        """Chromium reads from descriptor 3 and writes to descriptor 4."""
        os.dup2(in_read, 30)
        os.dup2(out_write, 31)
        os.dup2(30, 3)
        os.dup2(31, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
            ],
            preexec_fn=as_expected,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(in_read)
        os.close(out_write)
        try:
            browser = Browser(in_write, out_read)
            target = browser.send("Target.createTarget", url="about:blank")["targetId"]
            found = browser.send("Target.attachToTarget", targetId=target, flatten=True)
            browser.session = found["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.send(f"{domain}.enable")
            browser.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            browser.send("Page.navigate", url=page.resolve().as_uri())
            browser.wait_for("Page.loadEventFired")
            yield browser
        finally:
            process.kill()
            process.wait()
            os.close(in_write)
            os.close(out_read)
