"""Reads the factors from the resolved configuration and checks that their texts fit together."""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from src.errors import InputError, unknown
from src.study.factors import Factors, Persona, PersonaTemplate, Task
from src.study.items import load_items


def read_factors(cfg: Mapping[str, Any]) -> Factors:
    """Read and check every factor of a configuration.

    Parameters
    ----------
    cfg : mapping
        Resolved configuration with ``personas``, ``persona_templates``, ``tasks`` and ``paraphrase``.

    Returns
    -------
    Factors
        With only the chosen wordings in each task.

    Raises
    ------
    InputError
        If a level is unknown, empty, or its texts do not fit together.
    """
    personas = tuple(
        Persona(name, str(node["axis"]), node["description"])
        for name, node in _levels(cfg, "personas", "persona").items()
    )
    templates = tuple(
        PersonaTemplate(name, str(node["text"]))
        for name, node in _levels(cfg, "persona_templates", "persona_template").items()
    )
    for template in templates:
        if "{persona}" not in template.text:
            raise InputError(f"persona template {template.name!r} lacks {{persona}}: {template.text!r}")
    nodes = _levels(cfg, "tasks", "task")
    tasks = tuple(_read_task(name, node, cfg["paraphrase"]) for name, node in nodes.items())
    return Factors(personas, templates, tasks)


def _levels(cfg: Mapping[str, Any], key: str, group: str) -> dict[str, Mapping[str, Any]]:
    levels = dict(cfg.get(key) or {})
    if not levels:
        raise InputError(f"no {group} is chosen; name at least one, such as {group}=all")
    return levels


def _read_task(name: str, node: Mapping[str, Any], paraphrase: object) -> Task:
    labels = {label: tuple(words) for label, words in node["labels"].items()}
    wordings = _choose(name, dict(node["wordings"]), paraphrase)
    items = load_items(name, node["items"], labels)
    for wording, text in wordings.items():
        for _, field, _, _ in Formatter().parse(text):
            if field is not None and field not in items[0].fields:
                raise unknown(f"field of task {name}'s wording {wording!r}:", field, items[0].fields)
    return Task(name, labels, wordings, items)


def _choose(task: str, wordings: dict[str, str], paraphrase: object) -> dict[str, str]:
    if paraphrase == "all":
        return wordings
    names = [paraphrase] if isinstance(paraphrase, str) else paraphrase
    if not isinstance(names, Sequence) or not names:
        raise InputError(f"paraphrase must be all, a name or a list of names, received {paraphrase!r}")
    for name in names:
        if name not in wordings:
            raise unknown(f"paraphrase of task {task}:", name, wordings)
    return {name: wordings[name] for name in names}
