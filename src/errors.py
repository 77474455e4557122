"""Errors that are the user's to mend: one clear line, exit status 2, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Input that cannot be used; its message is the one line that the user reads."""


def unknown(kind: str, value: object, options: Iterable[str]) -> InputError:
    """Say that `value` is no known `kind`, with the nearest known ones.

    Parameters
    ----------
    kind : str
        What was expected, such as ``"persona"``.
    value : object
        The value received.
    options : iterable of str
        The values that would be right.

    Returns
    -------
    InputError
        To be raised by the caller.
    """
    options = sorted(options)
    near = get_close_matches(str(value), options, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(options) or 'none'}"
    return InputError(f"unknown {kind} {str(value)!r}; {hint}")
