"""A full disk and damaged files: said in one line, nothing lost, and the same command mends it."""

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from src.observations.responses import ResponseStore
from tests.commands import ROOT, run

SIZE = 6000


def arguments(folder: Path) -> list[str]:
    return [f"runs_dir={folder}", "study=disk", "engine=simulated", f"design.size={SIZE}", "flush.rows=1000"]


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in ResponseStore(folder / "disk" / "responses").parts()}


def keys(folder: Path) -> list[str]:
    found = [
        pq.read_table(folder / "disk" / "responses" / name, columns=["cell_key"]) for name in parts(folder)
    ]
    return sorted(key for table in found for key in table["cell_key"].to_pylist())


def assert_all_there(folder: Path) -> None:
    table = pq.read_table(folder / "disk" / "observations.parquet", columns=["cell_key"])
    assert sorted(table["cell_key"].to_pylist()) == keys(folder)
    assert len(set(keys(folder))) == SIZE


@pytest.mark.parametrize(
    "most",
    [
        pytest.param(50_000, id="a part"),
        pytest.param(100_000, id="labels", marks=pytest.mark.slow),
        pytest.param(135_000, id="the table", marks=pytest.mark.slow),
    ],
)
def test_no_room_for_a_file(tmp_path, most):
    """The kernel refuses to let any file of the process grow further, as a full disk would."""
    failed = subprocess.run(
        [sys.executable, "-m", "src.generate", *arguments(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert failed.returncode == 2, failed.stderr
    assert failed.stderr.startswith("error: no room to write")
    assert len(failed.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*.new"))
    before = parts(tmp_path)
    run("generate", *arguments(tmp_path))
    assert before.items() <= parts(tmp_path).items()
    assert_all_there(tmp_path)


def test_a_full_disk(tmp_path):
    """A real file system of 300 kB, where this process may mount one."""
    disk = tmp_path / "runs"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root; the limit on file sizes is tested above")
    try:
        failed = run("generate", *arguments(disk), status=2)
        assert failed.stderr.startswith("error: no room to write"), failed.stderr
        assert "No space left on device" in failed.stderr
        before = parts(disk)
        assert before
        subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
        run("generate", *arguments(disk))
        assert before.items() <= parts(disk).items()
        assert_all_there(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_cut_and_flipped_parts_are_set_aside_and_asked_again(tmp_path):
    run("generate", *arguments(tmp_path))
    before = parts(tmp_path)
    cut, flipped, *_ = sorted(before)
    folder = tmp_path / "disk" / "responses"
    (folder / cut).write_bytes(before[cut][: len(before[cut]) // 2])
    middle = len(before[flipped]) // 2
    (folder / flipped).write_bytes(
        before[flipped][:middle] + bytes([before[flipped][middle] ^ 16]) + before[flipped][middle + 1 :]
    )
    for command in ("detect", "fit"):
        more = () if command == "detect" else ("detector=rules",)
        named = run(command, f"runs_dir={tmp_path}", "study=disk", *more, status=2).stderr
        assert named.startswith("error: ")
        assert cut in named or flipped in named
    again = run("generate", *arguments(tmp_path))
    words = "".join(again.stdout.split())
    for name in (cut, flipped):
        assert f"{name}.damaged:itsresponsesareaskedforagain" in words
        assert (folder / f"{name}.damaged").is_file()
        del before[name]
    assert before.items() <= parts(tmp_path).items()
    assert_all_there(tmp_path)


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(tmp_path):
    """One bit of every place of a part in turn, at random: what is read is what was written, or an error."""
    run("generate", *arguments(tmp_path), "design.size=40")
    store = ResponseStore(tmp_path / "disk" / "responses")
    (part,) = store.parts()
    whole, table = part.read_bytes(), pq.read_table(part)
    chance = random.Random(1)
    missed = []
    for place in range(0, len(whole), 29):
        bit = 1 << chance.randrange(8)
        part.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        if not store.damaged() and not pq.read_table(part).equals(table):
            missed.append((place, bit))
    assert not missed
