"""The factors of a study: personas, the ways to introduce them, and tasks with wordings and items."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the model is asked to be."""

    name: str
    """Level of the factor, such as ``muslim``."""
    axis: str
    """Sociodemographic axis: gender, race, religion, disability, or baseline."""
    description: str | None
    """Noun phrase such as ``a Muslim person``; None for the baseline without persona."""


@dataclass(frozen=True, slots=True)
class PersonaTemplate:
    """How a persona is introduced."""

    name: str
    """Level of the factor."""
    text: str
    """Sentence that holds ``{persona}``."""


@dataclass(frozen=True, slots=True)
class Item:
    """One text that a task is asked about."""

    name: str
    """Level of the factor, unique within its task."""
    gold: str
    """The right label."""
    fields: Mapping[str, str]
    """Texts by field name, as the wordings use them."""


@dataclass(frozen=True, slots=True)
class Task:
    """A labelling task in several wordings."""

    name: str
    """Level of the factor."""
    labels: Mapping[str, tuple[str, ...]]
    """Each label with the words that stand for it in an answer."""
    wordings: Mapping[str, str]
    """Each paraphrase's text, with fields in braces."""
    items: tuple[Item, ...]
    """The texts to label."""


@dataclass(frozen=True, slots=True)
class Factors:
    """All levels that one model is asked about."""

    personas: tuple[Persona, ...]
    """Personas, the baseline included."""
    templates: tuple[PersonaTemplate, ...]
    """Ways to introduce a persona."""
    tasks: tuple[Task, ...]
    """Tasks with their wordings and items."""
