"""Shows responses one by one in the terminal and reads single keys."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from src.observations.annotating import WITH_LABEL, Session, Shown

KINDS = {
    "a": "answered",
    "f": "full_refusal",
    "p": "partial_refusal",
    "e": "evasion",
    "n": "unparsed",
}
"""Key to kind."""
LABELS = "123456789bcdghijklmorstvwxyz"
"""Keys of the task's labels, in their order; a digit by itself says answered."""
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*.?|O.|.)?", re.DOTALL)
"""What arrow and function keys send, all of it at once: no answer."""
WORDS = {
    "a": "answered",
    "f": "full refusal",
    "p": "partial refusal",
    "e": "evasion",
    "n": "unparsed",
    "u": "undo",
    "s": "skip",
    "q": "quit",
}


def annotate(session: Session, blind: bool) -> None:
    """Lay one response after the other before whoever sits at the terminal, until the end or `q`.

    Parameters
    ----------
    session : Session
        What is to be labelled; saves at every key.
    blind : bool
        Show neither persona nor model.
    """
    console = plain_console()
    said, stopped = "", False
    try:
        with single_keys() as keys:
            while said != "q" and (shown := session.current) is not None:
                show(console, session, shown, blind, said)
                said = _answer(console, session, shown, keys)
    except KeyboardInterrupt:
        stopped = True
    left = session.size - session.labelled
    end = "all labelled" if not left else f"{left:,} left; the same command goes on from here"
    console.print(f"\n{session.labelled:,} of {session.size:,} labelled, {end}")
    if stopped:
        raise SystemExit(130)


def _answer(console: Console, session: Session, shown: Shown, keys: Iterator[str]) -> str:
    """Read keys until the response is dealt with; return what to say above the next one, or ``q``."""
    for key in keys:
        key = key.lower()
        if key == "q":
            return "q"
        if key == "u":
            return "taken back" if session.undo() else "nothing to take back"
        if key == "s":
            session.skip()
            return "skipped for now"
        if key.isdigit() and (label := _labels(shown).get(key)):
            session.label("answered", label)
            return f"answered, {visible(label)}"
        if key in KINDS:
            kind = KINDS[key]
            if kind not in WITH_LABEL or not shown.labels:
                session.label(kind)
                return WORDS[key]
            label = _label(console, shown, kind, keys)
            if label is not None:
                session.label(kind, label or None)
                return f"{WORDS[key]}, {visible(label) or 'no label'}"
            console.print(_choices(shown))
    return "q"


def _label(console: Console, shown: Shown, kind: str, keys: Iterator[str]) -> str | None:
    """Ask for the label beside a kind; empty where a partial refusal has none, None to think again."""
    none = "   0 none" if kind == "partial_refusal" else ""
    console.print(f"which label?   {_numbered(shown)}{none}   any other key: back")
    key = next(keys, "")
    return "" if key == "0" and none else _labels(shown).get(key.lower())


def _labels(shown: Shown) -> dict[str, str]:
    return dict(zip(LABELS, shown.labels, strict=False))


def show(console: Console, session: Session, shown: Shown, blind: bool, said: str) -> None:
    """Print one response with what it was asked and which keys there are.

    Parameters
    ----------
    console : Console
        From `plain_console`.
    session : Session
        For the progress.
    shown : Shown
        The response.
    blind : bool
        Show neither persona nor model.
    said : str
        What the last key did.
    """
    if console.is_terminal:
        console.clear()
    number = min(session.labelled + session.skipped + 1, session.size)
    skipped = f", {session.skipped} skipped" if session.skipped else ""
    where = f"task {shown.levels['task']}"
    if not blind:
        names = ("model", "persona", "task", "paraphrase", "item")
        where = ", ".join(f"{name} {shown.levels[name]}" for name in names)
    console.print(
        Text(f"{number} of {session.size} ({session.labelled} labelled{skipped})   {visible(where)}")
    )
    if said:
        console.print(Text(f"before: {said}", style="dim"))
    console.print(Rule("asked (whole prompt)" if shown.whole_prompt else "asked", align="left", style="dim"))
    console.print(Text(visible(shown.asked)))
    console.print(Rule("response", align="left", style="bold"))
    console.print(Text(visible(shown.response) or "(empty)", style="" if shown.response else "dim"))
    if shown.cut:
        console.print(Text("[cut by the token limit]", style="dim"))
    console.print(Rule(style="dim"))
    console.print(_choices(shown))


def _choices(shown: Shown) -> Text:
    kinds = "   ".join(f"{key} {WORDS[key]}" for key in KINDS)
    others = "   ".join(f"{key} {WORDS[key]}" for key in "usq")
    labels = f"answered with: {_numbered(shown)}\n" if shown.labels else ""
    return Text(f"{labels}{kinds}\n{others}")


def _numbered(shown: Shown) -> str:
    return "   ".join(f"{key} {visible(label)}" for key, label in _labels(shown).items())


def visible(text: str) -> str:
    """Write whatever could act on a terminal, or hide in it, as an escape sequence that only shows.

    Parameters
    ----------
    text : str
        Untrusted.

    Returns
    -------
    str
        Without control, format, surrogate or private characters but line breaks and tabs.
    """
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else char.encode("unicode_escape").decode()
        for char in text.replace("\r\n", "\n")
    )


def plain_console() -> Console:
    """Make a console that takes text as it is: no markup, no emoji names, no highlighting."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False)


@contextmanager
def single_keys() -> Iterator[Iterator[str]]:
    """Read keys without waiting for a line's end; from a pipe, character by character.

    Yields
    ------
    iterator of str
        Keys as they come; ends with the input.
    """
    if not sys.stdin.isatty():
        yield (char for line in sys.stdin for char in line if not char.isspace())
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield _typed(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _typed(terminal: int) -> Iterator[str]:
    while read := os.read(terminal, 1024).decode("latin-1"):
        for key in _SEQUENCE.sub("", read):
            if key == "\x04":
                return
            yield key
