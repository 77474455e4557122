"""A cell's messages: the persona as system text, the worded task as user text."""

from dataclasses import dataclass

from src.study.factors import Item, Persona, PersonaTemplate, Task


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages of one request."""

    system: str | None
    """The persona's text; None for the baseline without persona."""
    user: str
    """The task in one wording, with one item."""


def build_prompt(
    persona: Persona, template: PersonaTemplate, task: Task, paraphrase: str, item: Item
) -> Prompt:
    """Word one cell as messages.

    Parameters
    ----------
    persona : Persona
        Who the model is asked to be; without description there is no system text.
    template : PersonaTemplate
        How the persona is introduced; its text holds ``{persona}``.
    task : Task
        The task whose wording is used.
    paraphrase : str
        Name of the wording.
    item : Item
        The text that the task is asked about.

    Returns
    -------
    Prompt
        Messages with every field of the wording filled from the item.
    """
    system = template.text.replace("{persona}", persona.description) if persona.description else None
    return Prompt(system=system, user=task.wordings[paraphrase].format_map(item.fields))
