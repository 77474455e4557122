"""What was asked, in plain words: stored prompts without the marks of the model's chat template."""

import json
import re

_TURN = re.compile(
    r"<\|(?:im_start|start_header_id|start_of_role|header_start|role_start)\|>\s*\w*\s*"
    r"(?:<\|(?:end_header_id|end_of_role|header_end|role_end)\|>)?"
    r"|<start_of_turn>\s*\w*|<\|turn>\s*\w*|\[/?INST\]|<</?SYS>>|\[/?SYSTEM_PROMPT\]"
    r"|<\|[\w ./-]{1,30}\|>|</?(?:s|bos|eos|end_of_turn|think)>|<turn\|>"
)


def plain_prompt(prompt: str | None) -> str:
    """Take a stored prompt apart.

    Parameters
    ----------
    prompt : str or None
        As stored: the text after the chat template, or a server's messages as JSON.

    Returns
    -------
    str
        What the model was told and asked, one blank line between turns; empty if unknown.
    """
    if not prompt:
        return ""
    parts = _messages(prompt) or _TURN.split(prompt)
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _messages(prompt: str) -> list[str]:
    """Read the contents of messages; empty if the prompt is no JSON of messages."""
    if prompt[0] not in "[{":
        return []
    try:
        found = json.loads(prompt)
        turns = found["messages"] if isinstance(found, dict) else found
        return [str(turn["content"]) for turn in turns]
    except (ValueError, KeyError, TypeError):
        return []
