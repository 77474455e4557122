"""Wording of messages as the model was trained to read them: its own chat template."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from src.engines.base import Rendered, SystemRole
from src.study.prompts import Prompt

SystemRoleSetting = Literal["auto", "native", "fold"]

TEMPLATE_DATE = date(2025, 9, 10)
"""Some templates write today's date into every prompt; a fixed one keeps prompts equal tomorrow."""

_ASKS_TIME = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_PROBE = "a system text to look for"


class Chat:
    """Renders prompts with a tokenizer's chat template.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The model's tokenizer.
    system_role : {"auto", "native", "fold"}
        Whether system text goes into a system message (``native``) or before the user's text (``fold``).
        ``auto`` folds where the template refuses a system message or drops its text.
    options : mapping
        Further variables for the template. By default thinking aloud is switched off where a template
        offers that, since a short answer is wanted.
    """

    def __init__(
        self,
        tokenizer: Any,
        system_role: SystemRoleSetting = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._options = {
            "enable_thinking": False,
            "date_string": TEMPLATE_DATE.strftime("%d %b %Y"),
            **(options or {}),
        }
        self.has_template = tokenizer.chat_template is not None
        self._template = _hold_date(tokenizer.get_chat_template()) if self.has_template else None
        self.folds = system_role == "fold" or (system_role == "auto" and not self._takes_system())

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Render prompts.

        A model without template reads the system text, a blank line, the user's text and a line break, after
        whatever special tokens its tokenizer puts in front.

        Parameters
        ----------
        prompts : sequence of Prompt
            Messages.

        Returns
        -------
        list of Rendered
            One for each prompt, in order.
        """
        if not prompts:
            return []
        texts = [self._text(prompt) for prompt in prompts]
        # The template writes its special tokens itself: adding them again would double the first one.
        ids = self._tokenizer(texts, add_special_tokens=not self.has_template).input_ids
        return [
            Rendered(text, tuple(row), self._role(prompt))
            for text, row, prompt in zip(texts, ids, prompts, strict=True)
        ]

    def stop_ids(self) -> set[int]:
        """Find the tokens that end a turn: the tokenizer's end token and what the template writes there."""
        stops = {self._tokenizer.eos_token_id} - {None}
        if self.has_template:
            turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
            opened = self._apply(turn[:1], add_generation_prompt=True)
            closed = self._apply(turn)
            if closed.startswith(f"{opened}b"):
                tail = self._tokenizer(closed[len(opened) + 1 :], add_special_tokens=False).input_ids
                stops |= set(tail[:1]) & set(self._tokenizer.all_special_ids)
        return stops

    def _text(self, prompt: Prompt) -> str:
        if not self.has_template:
            return f"{prompt.system}\n\n{prompt.user}\n" if prompt.system else f"{prompt.user}\n"
        return self._apply(messages(prompt, self.folds), add_generation_prompt=True)

    def _role(self, prompt: Prompt) -> SystemRole:
        if not prompt.system:
            return "none"
        return "folded" if self.folds else "native"

    def _takes_system(self) -> bool:
        if not self.has_template:
            return False
        from jinja2.exceptions import TemplateError

        try:
            return _PROBE in self._apply(messages(Prompt(_PROBE, "a"), fold=False))
        except TemplateError:
            return False

    def _apply(self, turns: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
        return self._tokenizer.apply_chat_template(
            turns,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **self._options,
        )


def _hold_date(template: str) -> str:
    """Put the fixed date where a template asks for the time; the library lets no function of ours in."""
    return _ASKS_TIME.sub(lambda call: repr(TEMPLATE_DATE.strftime(call[2])), template)


def messages(prompt: Prompt, fold: bool) -> list[dict[str, str]]:
    """Put a prompt into chat messages.

    Parameters
    ----------
    prompt : Prompt
        System text, possibly none, and the user's text.
    fold : bool
        Put the system text and a blank line before the user's text instead of into a message of its own.

    Returns
    -------
    list of dict
        Messages with ``role`` and ``content``. Without system text there is no system message: what the
        model's template then does is the model's own behaviour.
    """
    if not prompt.system:
        return [{"role": "user", "content": prompt.user}]
    if fold:
        return [{"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"}]
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
