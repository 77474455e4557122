"""Finds the user's message in a prompt that a chat template has rendered."""

import json
import re

_TURNS = re.compile(
    r"""
    (?: <\|im_start\|>user\n
      | <start_of_turn>user\n | <\|turn>user\n
      | <\|start_header_id\|>user<\|end_header_id\|>\n*
      | <\|start_of_role\|>user<\|end_of_role\|>
      | <\|user\|>\n?
      | \[INST\]\ ? )
    (?P<text>.*?)
    (?: <\|im_end\|> | <end_of_turn> | <turn\|> | <\|eot_id\|> | <\|end_of_text\|> | <\|end\|>
      | <\|endoftext\|> | <\|assistant\|> | \ ?\[/INST\] )
    """,
    re.VERBOSE | re.DOTALL,
)


def user_part(prompt: str, system_role: str | None) -> str | None:
    """Take the user's message out of a rendered prompt.

    Parameters
    ----------
    prompt : str
        As it stands in the responses.
    system_role : str or None
        ``folded``: the system text and a blank line stand before the user's text; ``native`` or ``none``.

    Returns
    -------
    str or None
        The message without a folded system text; None where the template is not known.
    """
    text = _message(prompt)
    if text is None:
        # Without a template: system text, a blank line, the user's text.
        if "<|" in prompt or "[INST]" in prompt or "<start_of_turn>" in prompt:
            return None
        return (prompt.partition("\n\n")[2] or prompt).strip() if system_role != "none" else prompt.strip()
    return (text.partition("\n\n")[2] or text if system_role == "folded" else text).strip()


def _message(prompt: str) -> str | None:
    if prompt.lstrip().startswith(("[", "{")):
        try:
            turns = json.loads(prompt)
            turns = turns["messages"] if isinstance(turns, dict) else turns
            return next(str(turn["content"]) for turn in reversed(turns) if turn["role"] == "user")
        except (ValueError, KeyError, TypeError, StopIteration):
            pass
    found = list(_TURNS.finditer(prompt))
    return found[-1]["text"] if found else None
