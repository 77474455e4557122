"""Writes files beside their place and renames them, so that a file is whole, old or new, whatever happens."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from src.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written_aside(path: Path, aside: Path | None = None) -> Iterator[BinaryIO]:
    """Write a file beside its place; at the end make it durable and give it its name.

    Parameters
    ----------
    path : Path
        The file's place; what stands there is replaced at once, or stays if writing fails.
    aside : Path, optional
        Where to write, in the same folder; ``.<name>.new`` if not given. The caller sees to it that no other
        process writes there.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    InputError
        If there is no room: the disk is full, or a quota or limit is reached.
    """
    aside = path.with_name(f".{path.name}.new") if aside is None else aside
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InputError(
            f"no room to write {path.parent}/ ({os.strerror(error.errno)}); what is there stays as it was: "
            "make room, then the same command goes on from here"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
