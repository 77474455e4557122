"""Faults in the middle of a run, and what a study promises of its texts: the command on a real tiny model."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from torch.nn.modules.module import register_module_forward_pre_hook

from src import generate
from tests.tiny_models import make_tiny_model, spoil_weights

SIZE = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", context=2048)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model) -> dict[str, tuple[str, int]]:
    """Text and length of every response of a run without a fault."""
    folder = tmp_path_factory.mktemp("runs")
    assert ask(folder, "whole", model)[0] == 0
    return texts(folder, "whole")


def ask(folder: Path, study: str, model: Path, *more: str) -> tuple[int, str, str]:
    """Run ``python -m src.generate`` in this process, so that faults can be put into its model."""
    GlobalHydra.instance().clear()
    arguments = [
        f"runs_dir={folder}", f"study={study}", "model=local", f"model.path={model}", "model.name=tiny",
        "engine.device=cpu", "engine.dtype=float32", f"design.size={SIZE}", "generation.max_new_tokens=8",
        "generation.temperature=0.8", *more,
    ]  # fmt: skip
    printed, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", ["generate", *arguments])
        try:
            generate.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return status, " ".join(printed.getvalue().split()), errors.getvalue()


def texts(folder: Path, study: str) -> dict[str, tuple[str, int]]:
    """Text and length of every response by its key, each there once."""
    table = pd.read_parquet(folder / study / "observations.parquet")
    assert table["cell_key"].is_unique
    return dict(zip(table["cell_key"], zip(table["response"], table["new_tokens"], strict=True), strict=True))


@contextlib.contextmanager
def before_each_pass(do: Callable[[int, torch.Tensor], object]) -> Iterator[None]:
    """Do something before the second layer of each pass, when the first one has written its keys and values.

    It gets the number of the pass and the hidden states, of shape (1, tokens, features), and may change them.
    """
    count = 0

    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal count
        if type(module).__name__ == "LlamaDecoderLayer" and module.self_attn.layer_idx == 1:
            count += 1
            do(count, inputs[0])

    handle = register_module_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_the_same_configuration_gives_the_same_texts_interrupted_or_not(tmp_path, model, temperature):
    settings = (model, f"generation.temperature={temperature}", "engine.batch_size=8")
    for study in ("first", "second"):
        assert ask(tmp_path, study, *settings)[0] == 0
    expected = texts(tmp_path, "first")
    assert len({text for text, _ in expected.values()}) > SIZE // 3
    assert texts(tmp_path, "second") == expected

    def interrupt(number: int, _: torch.Tensor) -> None:
        if number == 30:
            raise KeyboardInterrupt

    with before_each_pass(interrupt):
        status, printed, _ = ask(tmp_path, "third", *settings)
    assert status == 130
    assert "the same command goes on from here" in printed
    status, printed, _ = ask(tmp_path, "third", *settings)
    assert status == 0
    assert 0 < int(printed.split(" responses in ")[0].split()[-1]) < len(expected)
    assert texts(tmp_path, "third") == expected


def test_out_of_memory_in_the_middle_changes_nothing_but_the_width(tmp_path, model, undisturbed):
    raised = []

    def refuse_wide_passes(number: int, hidden: torch.Tensor) -> None:
        # As many tokens as one pass reads of prompts, and five sequences.
        if hidden.shape[1] > 512 + 5:
            raised.append(number)
            raise torch.OutOfMemoryError("CUDA out of memory")

    with before_each_pass(refuse_wide_passes):
        status, printed, _ = ask(tmp_path, "tight", model)
    assert status == 0
    assert len(raised) >= 2
    assert "error" not in printed
    assert texts(tmp_path, "tight") == undisturbed
    assert pd.read_parquet(tmp_path / "tight" / "observations.parquet")["batch_size"].max() <= 5


def test_scores_without_numbers_cost_errors_that_the_next_run_asks_again(tmp_path, model, undisturbed):
    def spoil(number: int, hidden: torch.Tensor) -> None:
        if 12 <= number < 24:
            hidden.fill_(float("nan"))

    with before_each_pass(spoil):
        status, printed, _ = ask(tmp_path, "spoilt", model, "engine.batch_size=4")
    assert status == 0
    assert "errors, asked again next time: scores that are no numbers (NaN)" in printed
    kept = texts(tmp_path, "spoilt")
    assert 0 < len(kept) < SIZE
    assert kept.items() < undisturbed.items()
    assert ask(tmp_path, "spoilt", model, "engine.batch_size=4")[0] == 0
    assert texts(tmp_path, "spoilt") == undisturbed


def test_a_study_of_errors_alone_names_their_cause(tmp_path):
    broken = spoil_weights(make_tiny_model(tmp_path / "broken", context=2048))
    small = make_tiny_model(tmp_path / "small", context=64)
    causes = {broken: "scores that are no numbers (NaN): try", small: "fills the model's context: "}
    for folder, cause in causes.items():
        status, printed, errors = ask(tmp_path, folder.name, folder)
        assert status == 2
        assert len(errors.splitlines()) == 1
        assert errors.startswith(f"error: none of {SIZE} responses of tiny could be had (")
        assert cause in errors
        assert "the same command asks again" in errors
        assert f"{SIZE} responses planned" in printed
