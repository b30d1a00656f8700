"""Names the folders of results, and writes files so that each appears whole or not at all."""

import glob
import itertools
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pymodel.support.errors import InputError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "results"
SCRATCH = ROOT / "build" / "tmp"

_numbers = itertools.count()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path, which is renamed to `path` on success and removed on failure.

    Raises InputError if the file cannot be written (no permission, disk full), and leaves `path` as
    it was. A process that is killed leaves its temporary file, which a later call removes.

    with replacing("result.txt") as temporary:
        temporary.write_text("whole or not at all")
    """
    path = Path(path)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        try:
            yield temporary
            temporary.chmod(0o644)  # some writers make files that only the owner can read
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        reason = getattr(error, "strerror", None) or lines[0]
        raise InputError(f"{path}: cannot be written ({reason})") from None


def publish(source: Path, path: Path) -> None:
    """Copies the file `source` to `path`, whole or not at all.

    If `source` does not exist, `path` is removed. Raises InputError if `path` cannot be written.
    """
    if not source.exists():
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def temporary_folder(name: str, parent: Path = SCRATCH) -> Iterator[Path]:
    """Yields a new folder in `parent`, and removes the folder in the end.

    The temporary files that killed processes left in `parent` are removed too.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent)
    folder = parent / _temporary_name(name)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all, or raises InputError."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Removes from `folder` the temporary files of processes of this machine that have ended."""
    for path in folder.glob(f".*.{glob.escape(platform.node())}-*-*.tmp*"):
        try:
            os.kill(int(path.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)
        except (OSError, ValueError):  # a process of another user, or a name of another program
            continue


def _temporary_name(name: str) -> str:
    """Returns a name that holds machine and process, and that no other call returns."""
    return f".{name}.{platform.node()}-{os.getpid()}-{next(_numbers)}.tmp"
