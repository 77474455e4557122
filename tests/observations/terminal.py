"""A real pseudo-terminal with a command in it, for tests that press keys and look at the screen."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from tests.commands import ROOT

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """Runs ``python -m src.<command>`` in a terminal of 100 columns.

    Parameters
    ----------
    command : str
        Module in ``src``.
    *arguments : str
        Hydra overrides.
    """

    def __init__(self, command: str, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"src.{command}", *arguments],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        self.raw = b""
        self._seen = 0

    @property
    def screen(self) -> str:
        """Everything printed so far, without colours."""
        return _COLOURS.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    def expect(self, text: str, seconds: float = 60) -> str:
        """Wait until a text appears after what was expected before; return what came up to it."""
        end = time.monotonic() + seconds
        while text not in self.screen[self._seen :]:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"no {text!r} in:\n{self.screen[self._seen :]}")
        start, self._seen = self._seen, self.screen.index(text, self._seen) + len(text)
        return self.screen[start : self._seen]

    def press(self, keys: str) -> None:
        """Type, all at once."""
        os.write(self._master, keys.encode())

    def end(self, status: int) -> str:
        """Wait for the command to end; return everything that it printed."""
        while self._read(60):
            pass
        assert self._process.wait(60) == status, self.screen
        os.close(self._master)
        return self.screen

    def kill(self) -> None:
        """End the command as nothing can prevent."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(60)
        os.close(self._master)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], max(seconds, 0))[0]:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the terminal's other end is closed: that is its end of file
            return False
        self.raw += piece
        return bool(piece)
