"""Where results go, and writing files so that nothing half-written is ever left behind."""

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
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    What cannot be written (no right, disk full) is an InputError; `path` is as it was.

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
            temporary.chmod(0o644)  # some writers leave it readable by the owner alone
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be written ({reason})") from None


def publish(source: Path, path: Path) -> None:
    """Copy `source` to `path`, whole or not at all; no `source`, then no `path` either."""
    if not source.exists():
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def temporary_folder(name: str, parent: Path = SCRATCH) -> Iterator[Path]:
    """A new folder in `parent`, removed in the end; what killed processes left there goes, too."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent)
    folder = parent / _temporary_name(name)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write results as scripts read them, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Remove from `folder` what is temporary and of processes of this machine that are gone."""
    for path in folder.glob(f".*.{glob.escape(platform.node())}-*-*.tmp*"):
        try:
            os.kill(int(path.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)
        except (OSError, ValueError):  # of another user, or none of ours
            continue


def _temporary_name(name: str) -> str:
    """Says whose it is; another one in each call."""
    return f".{name}.{platform.node()}-{os.getpid()}-{next(_numbers)}.tmp"
