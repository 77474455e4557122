"""Bad input ends in one line that says what would be right, exit status 2, and nothing changed on disk."""

import re
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from src import fit, generate
from tests.commands import run

TABLE = "persona,model,refusals,trials\nnone,a,1,5\nwoman,a,2,5\n"
SMALL = "factors=[persona,model]"

GENERATE = [
    ("study=../x", r"study name '../x' is not usable"),
    ("persona=muslin", r"unknown persona 'muslin'; did you mean muslim"),
    ("modle=smollm2-135m", r"unknown key 'modle'; did you mean model"),
    ("model=smollm2", r"unknown model 'smollm2'; did you mean smollm2-"),
    ("model=local", r"model.path has no value"),
    ("model=local model.path=/nowhere", r"model folder '/nowhere' does not exist"),
    ("model=simulated", r"has no weights, it exists for engine=simulated"),
    ("engine=tranformers", r"unknown engine 'tranformers'; did you mean transformers"),
    ("engine.device=cuda:99", r"cuda:99"),
    ("engine.dtype=float8", r"float8"),
    ("engine.batch_size=0", r"engine.batch_size 0"),
    ("generation.temperature=-1", r"generation.temperature must be zero \(greedy\) or above, received -1"),
    ("generation.top_p=0", r"generation.top_p must be above 0 and at most 1, received 0"),
    (
        "generation.max_new_tokens=1.5",
        r"generation.max_new_tokens must be a whole number above zero, received 1.5",
    ),
    ("+generation.top_k=5", r"unknown key of generation 'top_k'; did you mean top_p"),
    ("design.size=0", r"design.size must be a whole number of at least 1, received 0"),
    ("design=grid", r"unknown design 'grid'"),
    ("paraphrase=one_wrod", r"unknown paraphrase of task nli: 'one_wrod'; did you mean one_word"),
    ("paraphrase=[]", r"paraphrase must be all, a name or a list of names"),
    ("task=[nli,politness]", r"unknown task 'politness'; did you mean politeness"),
    ("tasks.nli.items.path=nowhere.csv", r"no item table 'nowhere.csv'"),
    ("tasks.nli.items.columns.premise=premis", r"did you mean premise"),
    ("detector=rule", r"unknown detector 'rule'; did you mean rules"),
    ("detector.refused=ful", r"unknown detector.refused 'ful'; did you mean full"),
    ("persona=none,muslim", r"add -m for one job per value"),
    ("generation.seed=", r"generation.seed must be a whole number"),
    ("generation.stop_when_decided=1", r"generation.stop_when_decided must be true or false, received 1"),
    ("generation.stop_when_decided=true engine=openai", r"engine 'openai' cannot end a response"),
    ("generation.stop_when_decided=true engine=vllm", r"engine 'vllm' cannot end a response"),
    ("generation.stop_when_decided=true engine=simulated", r"engine 'simulated' cannot end a response"),
    ("generation.stop_when_decided=true detector.refused=full", r"whether a refusal is full shows only"),
    ("generation.stop_when_decided=true detector=judge", r"detector 'judge' is another"),
]

FIT = [
    ("fit.method=nut", r"unknown fit.method 'nut'; did you mean nuts"),
    ("fit.draws=0", r"fit.draws must be a whole number of at least 4, received 0"),
    ("priors=halfnormal", r"unknown priors 'halfnormal'; did you mean half_normal"),
    ("priors.scale=-1", r"priors.scale must be a number above zero, received -1"),
    ("priors.family=cauchy", r"unknown prior family 'cauchy'"),
    ("ci_prob=90", r"ci_prob must lie between 0 and 1, received 90"),
    ("ci_kind=hdpi", r"unknown ci_kind 'hdpi'; did you mean hdi"),
    ("rope=0", r"rope must be a difference in probability between 0 and 1"),
    ("factors=[persona,modle]", r"unknown column of table.csv for factor modle: 'modle'; did you mean model"),
    ("interactions=[[persona,modle]]", r"unknown factor of an interaction 'modle'; did you mean model"),
    ("interactions=[[persona]]", r"an interaction needs two or more factors"),
    ("factors=persona", r"factors must be a list of names, received 'persona'"),
    ("observations=nowhere.csv", r"no such table: nowhere.csv"),
    ("observations=null", r"unknown study in .* 'none'"),
]


def main_of(module, monkeypatch, capsys, folder: Path, arguments: list[str]) -> tuple[int, str, str]:
    """Run a command in this process, as its own process would."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["prog", f"runs_dir={folder}/runs", *arguments])
    with pytest.raises(SystemExit) as ended:
        module.main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def assert_one_line(result: tuple[int, str, str], message: str, folder: Path) -> None:
    status, _, errors = result
    assert status == 2
    assert len(errors.strip().splitlines()) == 1, errors
    assert errors.startswith("error: ")
    assert re.search(message, errors), errors
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(("arguments", "message"), GENERATE)
def test_generate_refuses(arguments, message, monkeypatch, capsys, tmp_path):
    result = main_of(generate, monkeypatch, capsys, tmp_path, arguments.split())
    assert_one_line(result, message, tmp_path)


@pytest.mark.parametrize(("arguments", "message"), FIT)
def test_fit_refuses(arguments, message, monkeypatch, capsys, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    base = ["study=none", f"observations={tmp_path}/table.csv", SMALL]
    keys = {argument.split("=")[0] for argument in arguments.split()}
    kept = [argument for argument in base if argument.split("=")[0] not in keys]
    result = main_of(fit, monkeypatch, capsys, tmp_path, [*kept, *arguments.split()])
    assert_one_line(result, message, tmp_path)


def test_a_sweep_with_one_bad_job_starts_none(tmp_path):
    done = run(
        "generate",
        "-m",
        f"runs_dir={tmp_path}/runs",
        "study=x",
        "engine=simulated",
        "persona=all,muslin",
        status=2,
    )
    assert done.stderr.startswith("error: unknown persona 'muslin'")
    assert "planned" not in done.stdout
    assert not (tmp_path / "runs").exists()


def test_help_and_bad_flags_need_no_libraries():
    """Help prints the configuration; neither torch nor PyMC is imported on the way."""
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from src.{} import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {{'torch', 'pymc', 'transformers', 'arviz'}} & set(sys.modules), 'heavy import'"
    )
    import subprocess

    for command in ("generate", "fit"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(command)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "study: demo" in done.stdout


@pytest.mark.parametrize(("command", "never"), [("fit", "torch"), ("generate", "pymc")])
def test_no_room_imports_what_it_does_not_need(command, never, tmp_path):
    """A whole run in a fresh process: fitting leaves torch alone, generating leaves PyMC alone."""
    import subprocess

    (tmp_path / "table.csv").write_text(TABLE)
    arguments = {
        "fit": [f"observations={tmp_path}/table.csv", SMALL, "fit.draws=20", "fit.tune=50"],
        "generate": ["engine=simulated", "design.size=20"],
    }[command]
    code = (
        f"import sys; sys.argv = ['x', 'runs_dir={tmp_path}/runs', *{arguments!r}]\n"
        f"from src.{command} import main\nmain()\nassert '{never}' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
