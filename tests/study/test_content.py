"""The shipped personas, templates, tasks and items, composed as users compose them and counted."""

import json
import re
import shlex
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path
from string import Formatter

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from src.study.factors import Factors, Task
from src.study.paths import CONF
from src.study.prompts import build_prompt
from src.study.reading import read_factors

TASKS = ["nli", "politeness", "offensiveness"]
GOLDS = {
    "nli": {"entailment", "neutral", "contradiction"},
    "politeness": {"polite", "impolite"},
    "offensiveness": {"offensive", "not_offensive"},
}
AXES = {
    "baseline": {"none"},
    "gender": {"woman", "man", "transgender_woman", "transgender_man", "nonbinary"},
    "race": {"black", "white", "asian", "hispanic"},
    "religion": {"christian", "muslim", "jewish", "atheist"},
    "disability": {"disabled", "able_bodied"},
}
# Published corpora: a card's base task, rows in the corpus's own columns, and the gold labels they must give.
CARDS = {
    "snli": (
        "nli",
        [{"premise": "a", "hypothesis": "b", "label": label} for label in (0, 2, -1, 1)],
        ["entailment", "contradiction", "neutral"],
    ),
    "polite_guard": (
        "politeness",
        [
            {"text": "a", "label": label, "source": "s"}
            for label in ("polite", "somewhat polite", "neutral", "impolite")
        ],
        ["polite", "impolite"],
    ),
    "tweet_offensive": (
        "offensiveness",
        [{"text": "a", "label": label} for label in (0, 1)],
        ["not_offensive", "offensive"],
    ),
}


@cache
def composed(*overrides: str) -> dict:
    """The resolved configuration of a generation with these overrides."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF.resolve())):
        cfg = compose("generate", overrides=list(overrides))
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return container


@cache
def factors(*overrides: str) -> Factors:
    return read_factors(composed(*overrides))


@cache
def task(name: str) -> Task:
    (one,) = factors(f"task=[{name}]").tasks
    return one


def texts(item) -> tuple[str, ...]:
    return tuple(text for field, text in item.fields.items() if field != "sensitivity")


@pytest.mark.parametrize(
    ("override", "node", "levels"),
    [
        ("task=all", "tasks", TASKS),
        ("task=nli", "tasks", ["nli"]),
        ("task=[nli]", "tasks", ["nli"]),
        ("task=[nli,politeness]", "tasks", ["nli", "politeness"]),
        ("task=[snli]", "tasks", ["snli"]),
        ("task=[nli,snli]", "tasks", ["nli", "snli"]),
        ("persona=[none,muslim]", "personas", ["none", "muslim"]),
        ("persona=muslim", "personas", ["muslim"]),
        ("persona_template=all", "persona_templates", ["you_are", "adopt_identity", "speak_as"]),
        ("persona_template=[speak_as,you_are]", "persona_templates", ["speak_as", "you_are"]),
    ],
)
def test_chosen_levels_are_loaded_and_no_others(override, node, levels):
    assert list(composed(override)[node]) == levels


def test_defaults_are_all_personas_all_tasks_and_one_template():
    chosen = factors()
    assert [t.name for t in chosen.tasks] == TASKS
    assert [t.name for t in chosen.templates] == ["you_are"]
    assert len(chosen.personas) == 16


def test_personas_cover_each_axis_and_begin_with_the_baseline():
    personas = factors().personas
    by_axis = {axis: {p.name for p in personas if p.axis == axis} for axis in AXES}
    assert by_axis == AXES
    assert personas[0].name == "none"
    assert personas[0].description is None
    described = [p.description for p in personas[1:]]
    assert len(set(described)) == 15
    assert all(re.match(r"an? ", text or "") for text in described)
    assert next(p for p in personas if p.name == "disabled").description == "a physically-disabled person"


@pytest.mark.parametrize("group", ["persona", "persona_template"])
def test_all_names_every_level_file(group):
    files = {path.stem for path in (CONF / group).glob("*.yaml")} - {"all"}
    assert set(composed(f"{group}=all")[f"{group}s"]) == files


def test_templates_differ_and_introduce_the_persona():
    chosen = factors("persona_template=all")
    assert len({t.text for t in chosen.templates}) == 3
    item, one = chosen.tasks[0].items[0], chosen.tasks[0]
    for template, persona in product(chosen.templates, chosen.personas):
        system = build_prompt(persona, template, one, "plain_question", item).system
        if persona.description is None:
            assert system is None
        else:
            assert persona.description in (system or "")
            assert "{" not in (system or "")


@pytest.mark.parametrize("name", TASKS)
def test_items_are_enough_balanced_and_graded(name):
    items, labels = task(name).items, GOLDS[name]
    assert set(task(name).labels) == labels
    assert len(items) >= 64
    cells = Counter((item.gold, item.fields["sensitivity"]) for item in items)
    assert set(cells) == set(product(labels, "0123"))
    assert len(set(cells.values())) == 1
    assert min(Counter(item.fields["sensitivity"] for item in items).values()) >= 12


@pytest.mark.parametrize("name", TASKS)
def test_first_rows_are_balanced_too_so_that_a_limit_is_fair(name):
    size = 4 * len(GOLDS[name])
    (one,) = factors(f"task=[{name}]", f"tasks.{name}.items.limit={size}").tasks
    head = one.items
    assert len({(item.gold, item.fields["sensitivity"]) for item in head}) == size


def test_no_item_name_and_no_text_is_repeated_or_empty():
    items = [item for name in TASKS for item in task(name).items]
    assert len({item.name for item in items}) == len(items)
    every = [text for item in items for text in texts(item)]
    assert len({text.casefold() for text in every}) == len(every)
    assert all(text == text.strip() and len(text) >= 10 for text in every)
    assert all("{" not in text and "}" not in text for text in every)


@pytest.mark.parametrize("name", TASKS)
def test_nine_wordings_differ_and_use_every_field(name):
    wordings = task(name).wordings
    assert len(wordings) == len(set(wordings.values())) == 9
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", wording) for wording in wordings)
    needed = {"premise", "hypothesis"} if name == "nli" else {"text"}
    for text in wordings.values():
        assert {field for _, field, _, _ in Formatter().parse(text) if field} == needed


def test_tasks_share_the_names_of_their_wordings_so_that_one_choice_fits_all():
    assert list(task("nli").wordings) == list(task("politeness").wordings)
    assert list(task("nli").wordings) == list(task("offensiveness").wordings)
    assert all(len(t.wordings) == 2 for t in factors("paraphrase=[casual,yes_no]").tasks)


def named(words: tuple[str, ...], text: str) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE) for word in words)


@pytest.mark.parametrize("name", TASKS)
def test_each_wording_states_every_allowed_answer_and_offers_no_refusal(name):
    for text in task(name).wordings.values():
        for words in task(name).labels.values():
            assert named(words, text), f"{words} in {text!r}"
        assert not re.search(r"refus|declin|prefer not|skip|uncomfortable|unable|cannot answer", text, re.I)


@pytest.mark.parametrize("name", TASKS)
def test_a_word_stands_for_one_label(name):
    words = Counter(word.casefold() for words in task(name).labels.values() for word in words)
    assert set(words.values()) == {1}
    assert all(isinstance(word, str) for words in task(name).labels.values() for word in words)


@pytest.mark.parametrize("name", TASKS)
def test_every_prompt_shows_its_item_whole(name):
    one, chosen = task(name), factors()
    for wording, item in product(one.wordings, one.items):
        user = build_prompt(chosen.personas[0], chosen.templates[0], one, wording, item).user
        assert all(text in user for text in texts(item))


@pytest.mark.parametrize("card", CARDS)
def test_corpus_cards_read_a_table_in_the_corpus_columns(card, tmp_path: Path):
    base, rows, golds = CARDS[card]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    node = composed(f"task=[{card}]")["tasks"][card]
    assert node["items"]["path"] is None
    assert "/" in node["items"]["hub"]
    (one,) = read_factors(
        composed(f"task=[{card}]", f"tasks.{card}.items.hub=null", f"tasks.{card}.items.path={path}")
    ).tasks
    assert [item.gold for item in one.items] == golds
    assert one.wordings == task(base).wordings
    assert one.labels == task(base).labels
    assert "sensitivity" not in one.items[0].fields


def documented(language: str) -> list[str]:
    """The code blocks of docs/content.md in one language."""
    text = (CONF.parent / "docs" / "content.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_documented_command_asks_about_ones_own_csv(tmp_path: Path, monkeypatch):
    (tmp_path / "letters.csv").write_text("sentence,verdict\nGo away.,rude\nThank you.,kind\n")
    monkeypatch.chdir(tmp_path)
    command = next(block for block in documented("bash") if "letters.csv" in block)
    overrides = [word for word in shlex.split(command.replace("\\\n", "")) if "=" in word]
    (one,) = read_factors(composed(*overrides)).tasks
    assert [(item.gold, item.fields["text"]) for item in one.items] == [
        ("impolite", "Go away."),
        ("polite", "Thank you."),
    ]


def test_documented_task_file_bins_the_ratings_of_a_parquet_table(tmp_path: Path, monkeypatch):
    ratings = pd.DataFrame({"id": ["a", "b", "c"], "body": ["x", "y", "z"], "score": [-2.0, 0.5, 1.0]})
    ratings.assign(language=["en", "en", "de"]).to_parquet(tmp_path / "ratings.parquet")
    (tmp_path / "task").mkdir()
    (block,) = documented("yaml")
    (tmp_path / "task" / "forum.yaml").write_text(block)
    monkeypatch.chdir(tmp_path)
    (one,) = read_factors(composed("task=[forum]", f"hydra.searchpath=[file://{tmp_path}]")).tasks
    assert [(item.name, item.gold) for item in one.items] == [("a", "impolite"), ("b", "polite")]
    assert one.wordings == task("politeness").wordings


def test_documented_corpus_command_composes():
    command = next(block for block in documented("bash") if "snli" in block)
    node = composed(*[word for word in shlex.split(command) if "=" in word])["tasks"]["snli"]
    assert node["items"]["hub"] == "stanfordnlp/snli"
