"""The store keeps every response once, whatever interrupts it, and names what is damaged."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock, Timeout
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from src.engines.base import GenerationSettings, Identity, Job, Rendered, Response
from src.errors import InputError
from src.observations.planning import PlannedJob
from src.observations.responses import SCHEMA, DamagedFileError, ResponseStore, ResponseWriter, read_checked
from src.study.prompts import Prompt

IDENTITY = Identity("org/model", "abc123", "float32", "simulated", "cpu")
SETTINGS = GenerationSettings(max_new_tokens=32, temperature=0.0, top_p=1.0, seed=7)
ROOT = Path(__file__).resolve().parents[2]


def answer(
    key: str, text: str = "Yes.", *, model: str = "m", reason: str = "stop", replicate: int = 0, **levels: str
) -> tuple[PlannedJob, Response]:
    """A planned job and its response."""
    names = {
        "persona": "none",
        "persona_template": "you_are",
        "task": "nli",
        "paraphrase": "p0",
        "item": "i0",
    }
    rendered = Rendered("<user>Is it?", (1, 2, 3), "none")
    job = Job(key, rendered, Prompt(None, "Is it?"), 2**63 - 1, ())
    planned = PlannedJob(job, {"model": model, **names, **levels}, "yes", '{"yes": ["yes"]}', replicate)
    return planned, Response(key, text, 3, 2, reason, 4)  # type: ignore[arg-type]


def writer(
    folder: Path, model: str = "m", settings: GenerationSettings = SETTINGS, **limits: float
) -> ResponseWriter:
    return ResponseWriter(folder, model, IDENTITY, settings, {"torch": "1"}, **limits)  # type: ignore[arg-type]


def write(
    folder: Path,
    *answers: tuple[PlannedJob, Response],
    model: str = "m",
    settings: GenerationSettings = SETTINGS,
) -> None:
    with writer(folder, model, settings) as store:
        for planned, response in answers:
            store.add(planned, response)


def stored(folder: Path) -> list[tuple[str, str, str]]:
    tables = ResponseStore(folder).scan(["cell_key", "response", "finish_reason"])
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]  # type: ignore[misc]


def good_keys(folder: Path) -> set[str]:
    """Keys with an answer, counted by hand."""
    return {key for key, _, reason in stored(folder) if reason != "error"}


@contextmanager
def fresh_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "study" / "responses"


def test_a_response_comes_back_with_every_column_it_was_written_with(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    write(tmp_path, answer("k", 'So: "é\n\0😀', persona="muslim", replicate=3))
    (table,) = ResponseStore(tmp_path).scan(SCHEMA.names)
    assert table.schema.equals(SCHEMA)
    (row,) = table.to_pylist()
    assert before <= row.pop("written_at") <= datetime.now(UTC)
    assert len(row.pop("generation_hash")) == 16
    assert json.loads(row.pop("generation")) | {"stop_when_decided": False} == asdict(SETTINGS)
    assert json.loads(row.pop("versions")) == {"torch": "1"}
    assert row == {
        "cell_key": "k",
        "model": "m",
        "persona": "muslim",
        "persona_template": "you_are",
        "task": "nli",
        "paraphrase": "p0",
        "item": "i0",
        "replicate": 3,
        "gold": "yes",
        "task_labels": '{"yes": ["yes"]}',
        "response": 'So: "é\n\0😀',
        "prompt": "<user>Is it?",
        "system_role": "none",
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "new_tokens": 2,
        "batch_size": 4,
        "model_id": "org/model",
        "model_revision": "abc123",
        "dtype": "float32",
        "engine": "simulated",
        "device": "cpu",
        "seed": 2**63 - 1,
    }


def test_an_absent_store_is_empty(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "absent")
    assert store.parts() == []
    assert store.stored("m").contains(["a"]).tolist() == [False]
    assert list(store.scan(["cell_key"])) == []
    assert store.set_aside_damaged() == []


@given(st.text(max_size=20) | st.text(st.characters(categories=["Cs"]), min_size=1, max_size=4))
@checks(max_examples=40, deadline=None)
def test_any_text_can_be_stored_and_well_formed_text_is_untouched(text: str) -> None:
    with fresh_folder() as folder:
        write(folder, answer("k", text))
        ((_, found, _),) = stored(folder)
    try:
        text.encode()
    except UnicodeEncodeError:
        assert text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == found
    else:
        assert found == text


KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
STEPS = st.lists(
    st.tuples(KEYS, st.sampled_from(["stop", "length", "error"])) | st.sampled_from(["flush", "reopen"]),
    max_size=25,
)


@given(STEPS, st.integers(1, 4))
@checks(max_examples=60, deadline=None)
def test_any_sequence_of_adds_gives_each_key_once_and_good_answers_win(steps: list, rows: int) -> None:
    expected: dict[str, tuple[str, str]] = {}
    with fresh_folder() as folder:
        open_writer = writer(folder, rows=rows).__enter__()
        for number, step in enumerate(steps):
            if step == "flush":
                open_writer.flush()
            elif step == "reopen":
                open_writer.__exit__(None, None, None)
                open_writer = writer(folder, rows=rows).__enter__()
            else:
                key, reason = step
                open_writer.add(*answer(key, f"text {number}", reason=reason))
                if key not in expected or (expected[key][1] == "error" and reason != "error"):
                    expected[key] = (f"text {number}", reason)
        open_writer.__exit__(None, None, None)
        rows_found = stored(folder)
        assert sorted(rows_found) == sorted((k, *v) for k, v in expected.items())
        good = {k for k, (_, reason) in expected.items() if reason != "error"}
        found = ResponseStore(folder).stored("m")
        assert found.contains(list("abcdex")).tolist() == [key in good for key in "abcdex"]
        assert len(ResponseStore(folder).stored("other")) == 0
        assert ResponseStore(folder).damaged() == []
        assert {p.name for p in folder.iterdir()} == {p.name for p in ResponseStore(folder).parts()} | {
            ".m.lock"
        }


def test_rows_wait_until_there_are_enough_or_time_has_passed(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    with writer(tmp_path, rows=3, seconds=3600) as waiting:
        waiting.add(*answer("a"))
        waiting.add(*answer("b"))
        assert store.parts() == []
        waiting.add(*answer("c"))
        assert good_keys(tmp_path) == {"a", "b", "c"}
        waiting.add(*answer("d"))
        assert len(store.parts()) == 1
    assert good_keys(tmp_path) == {"a", "b", "c", "d"}
    with writer(tmp_path, rows=1000, seconds=0) as hasty:
        hasty.add(*answer("e"))
        assert good_keys(tmp_path) == set("abcde")


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_waits_is_written_when_an_exception_passes_through(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def interrupted() -> None:
        with writer(tmp_path) as store:
            store.add(*answer("a"))
            raise kind

    with pytest.raises(kind):
        interrupted()
    assert good_keys(tmp_path) == {"a"}


def test_a_response_to_another_job_is_not_stored(tmp_path: Path) -> None:
    with writer(tmp_path) as store, pytest.raises(ValueError, match="does not answer"):
        store.add(answer("a")[0], answer("b")[1])
    assert ResponseStore(tmp_path).parts() == []


def test_a_part_is_never_rewritten(tmp_path: Path) -> None:
    write(tmp_path, answer("a", reason="error"))
    (part,) = ResponseStore(tmp_path).parts()
    before = part.read_bytes(), part.stat().st_ino
    write(tmp_path, answer("a", "Yes, again."))
    assert (part.read_bytes(), part.stat().st_ino) == before
    assert stored(tmp_path) == [("a", "Yes, again.", "stop")]


def test_parts_of_each_model_are_told_apart_and_read_alone(tmp_path: Path) -> None:
    for model in ["org/b c", "org_b c", "a", "a.b", "a"]:
        write(tmp_path, answer(f"{model} {len(list(tmp_path.iterdir()))}", model=model), model=model)
    store = ResponseStore(tmp_path)
    by_model = store.parts_by_model()
    assert list(by_model) == ["a", "a.b", "org/b c", "org_b c"]
    assert sorted(part for parts in by_model.values() for part in parts) == store.parts()
    for model, parts in by_model.items():
        (names,) = {tuple(set(t["model"].to_pylist())) for t in store.scan(["model"], parts)}
        assert names == (model,)
        keys = sorted(good_keys(tmp_path))
        assert store.stored(model).contains(keys).tolist() == [k.rsplit(" ", 1)[0] == model for k in keys]


def test_an_unknown_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'respons'; did you mean response"):
        list(ResponseStore(tmp_path).scan(["respons"]))


def test_a_part_cut_at_any_byte_is_named(tmp_path: Path) -> None:
    write(tmp_path, answer("cut", "A much longer answer. " * 20))
    (part,) = ResponseStore(tmp_path).parts()
    data = part.read_bytes()
    for length in reversed(range(len(data))):
        os.truncate(part, length)
        with pytest.raises(DamagedFileError, match=part.name):
            read_checked(part, SCHEMA, ["cell_key"])
    part.write_bytes(data)
    assert read_checked(part, SCHEMA, ["cell_key"])["cell_key"].to_pylist() == ["cut"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0])
def test_a_damaged_part_is_set_aside_and_never_lost(tmp_path: Path, share: float) -> None:
    write(tmp_path, answer("kept"))
    write(tmp_path, answer("cut"))
    whole, part = ResponseStore(tmp_path).parts()
    cut = part.read_bytes()[: int(share * (part.stat().st_size - 1))]
    part.write_bytes(cut)
    store = ResponseStore(tmp_path)
    for read in (lambda: store.stored("m"), store.parts_by_model, lambda: list(store.scan(["cell_key"]))):
        with pytest.raises(InputError, match=part.name):
            read()
    assert [path for path, reason in store.damaged() if reason] == [part]
    assert store.set_aside_damaged() == [part.with_name(f"{part.name}.damaged")]
    assert store.parts() == [whole]
    assert good_keys(tmp_path) == {"kept"}
    part.write_bytes(b"again")
    assert store.set_aside_damaged() == [part.with_name(f"{part.name}.damaged.damaged")]
    assert part.with_name(f"{part.name}.damaged").read_bytes() == cut


def test_a_flipped_bit_in_the_stored_data_is_found(tmp_path: Path) -> None:
    write(tmp_path, *(answer(f"{i:032x}", f"Answer {i}.") for i in range(50)))
    (part,) = ResponseStore(tmp_path).parts()
    data = part.read_bytes()
    columns = pq.read_metadata(part).row_group(0)
    for name in ("cell_key", "response"):
        column = columns.column(SCHEMA.get_field_index(name))
        # The middle of the column's bytes lies in a page's data, which the checksum covers.
        at = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2
        part.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert [path for path, _ in ResponseStore(tmp_path).damaged()] == [part]


def test_a_foreign_table_among_the_parts_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"cell_key": ["a"]}), tmp_path / "foreign.parquet")
    with pytest.raises(InputError, match=r"foreign\.parquet is damaged: it has no column 'model'"):
        ResponseStore(tmp_path).stored("m")


def test_a_later_version_may_add_columns(tmp_path: Path) -> None:
    write(tmp_path, answer("a"))
    (part,) = ResponseStore(tmp_path).parts()
    table = pq.read_table(part)
    pq.write_table(table.append_column("mood", pa.array(["good"])), tmp_path / "later.parquet")
    assert ResponseStore(tmp_path).damaged() == []
    assert stored(tmp_path) == [("a", "Yes.", "stop")]


def test_a_second_writer_of_the_same_model_is_refused_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "responses"
    with writer(folder):
        with pytest.raises(InputError, match="another process is generating m in study mine"):
            writer(folder).__enter__()
        with writer(folder, "other") as other:
            other.add(*answer("b", model="other"))
    with writer(folder) as again:
        again.add(*answer("a"))
    assert good_keys(folder) == {"a", "b"}


WRITE_ROWS = """
import sys
from pathlib import Path
from tests.observations.test_responses import answer, writer

folder, model, flush_every, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with writer(folder, model, rows=flush_every, seconds=3600) as store:
    for i in range(rows):
        store.add(*answer(f"{model} {i}", f"Answer {i}.", model=model))
        print(i, flush=True)
"""


def start(folder: Path, model: str, flush_every: int, rows: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITE_ROWS, str(folder), model, str(flush_every), str(rows)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "responses"
    processes = [start(folder, model, 7, 60) for model in ("one", "two")]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert good_keys(folder) == {f"{model} {i}" for model in ("one", "two") for i in range(60)}
    assert len(ResponseStore(folder).parts()) == 2 * 9


def test_a_killed_process_leaves_a_readable_store_and_no_lock(tmp_path: Path) -> None:
    process = start(tmp_path, "m", 5, 10**9)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 42:
            break
    with pytest.raises(InputError, match="another process is generating m"):
        writer(tmp_path).__enter__()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (tmp_path / ".m.new").write_bytes(b"PAR1 half a part")  # what a kill in the middle of writing leaves
    store = ResponseStore(tmp_path)
    keys = good_keys(tmp_path)
    assert {f"m {i}" for i in range(40)} <= keys
    assert store.damaged() == []
    assert len(keys) == sum(table.num_rows for table in store.scan(["cell_key"]))
    with writer(tmp_path) as successor:
        assert not (tmp_path / ".m.new").exists()
        successor.add(*answer("next"))
    assert good_keys(tmp_path) == keys | {"next"}


def test_the_lock_is_free_after_the_writer(tmp_path: Path) -> None:
    write(tmp_path, answer("a"))
    lock = FileLock(tmp_path / ".m.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pytest.fail("the writer kept its lock")
    lock.release()


def test_a_failed_write_leaves_no_half_part_and_keeps_what_waits(tmp_path: Path) -> None:
    with writer(tmp_path) as store:
        store.add(*answer("a"))
        tmp_path.joinpath(".m.new").mkdir()  # so that writing aside fails
        with pytest.raises(OSError, match="directory"):
            store.flush()
        assert ResponseStore(tmp_path).parts() == []
        tmp_path.joinpath(".m.new").rmdir()
    assert good_keys(tmp_path) == {"a"}


def test_thousands_of_parts_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, answer("a"))
    (part,) = ResponseStore(tmp_path).parts()
    for i in range(2000):
        os.link(part, tmp_path / f"{i:05}.parquet")
    store = ResponseStore(tmp_path)
    assert good_keys(tmp_path) == {"a"}
    assert [len(table) for table in store.scan(["cell_key", "response"])] == [1]
