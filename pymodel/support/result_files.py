"""Writes results of commands, and beside each file whether the run passed and what it is about.

`build/results/layer.json` holds the figures; `build/results/layer.about.json` holds `passed`, the
hashes `about` (of RTL, checkpoint, bench, …), and the SHA-256 of the file with the figures.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodel.support.files import publish, replacing, write_json


@dataclass(frozen=True)
class Verdict:
    """Whether a run passed, and the hashes of what its results are about, by name."""

    passed: bool
    about: Mapping[str, Any]


def file_digest(path: str | Path) -> str:
    """Returns the SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def about_path(path: Path) -> Path:
    """Returns the file of the verdict on the results in `path`, which lies beside it."""
    return path.with_suffix(".about.json")


def write_results(path: Path, value: Any, *, passed: bool, about: Mapping[str, Any]) -> None:
    """Writes results as JSON, and the verdict beside them; raises InputError if it cannot."""
    remove_results(path)  # so that a verdict never stands beside results of another run
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
        digest = file_digest(temporary)
    write_verdict(path, digest, passed=passed, about=about)


def write_verdict(path: Path, digest: str, *, passed: bool, about: Mapping[str, Any]) -> None:
    """Writes the verdict on the results in `path`, whose SHA-256 is `digest`.

    The digest is taken before the file has its name: another run may put its own results there.
    Raises InputError if the verdict cannot be written.
    """
    verdict = {"passed": passed, "about": dict(about), "sha256": digest}
    write_json(about_path(path), verdict)


def publish_results(source: Path, path: Path, *, passed: bool, about: Mapping[str, Any]) -> None:
    """Copies results to `path`, with the verdict beside them; without `source` both are removed."""
    about_path(path).unlink(missing_ok=True)
    digest = file_digest(source) if source.exists() else None
    publish(source, path)
    if digest:
        write_verdict(path, digest, passed=passed, about=about)


def remove_results(path: Path) -> None:
    """Removes results of an earlier run, if there are any, with their verdict."""
    for file in (about_path(path), path):
        file.unlink(missing_ok=True)


def read_verdict(path: Path) -> Verdict | None:
    """Returns the verdict on the results in `path`.

    Returns None if there is none, if it is damaged, or if it is on other contents of the file.
    """
    try:
        found = json.loads(about_path(path).read_text(encoding="utf-8"))
        verdict = Verdict(found["passed"] is True, dict(found["about"]))
        return verdict if found["sha256"] == file_digest(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
