"""Says by hashes what a result is about, and whether the files here are still the same."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymodel.support.result_files import file_digest
from tb.sim.files_read import files_read
from tb.sim.kept_results import code, files_digest, imported, names_imported
from tb.sim.sources import RTL, check_sources, rtl_digest, sources_digest

WORDS = {
    "rtl": "other RTL",
    "checkpoint": "another checkpoint",
    "adapter": "another adapter",
    "bench": "another version of the bench",
}


def about(
    *modules: str,
    rtl: Path | None = RTL,
    sources: Sequence[Path] | None = None,
    simulator: str = "icarus",
    checkpoint: str | Path | None = None,
    adapter: Path | None = None,
) -> dict[str, Any]:
    """Returns what a result is about: a hash by each name of WORDS that matters to it.

    `modules` ("tb.test_pe") are those whose code found the result. The RTL is that of folder `rtl`
    or the Verilog files `sources`; None: the result is about no RTL.
    """
    found: dict[str, Any] = {"modules": sorted(modules), "bench": code(*modules)}
    if sources is not None:
        found["rtl"] = sources_digest(sources, simulator)
    elif rtl is not None:
        found["rtl"] = rtl_digest(rtl, simulator)
        sources = check_sources(rtl)
    if sources is not None and files_read(simulator, sources).unknown:
        # The files that the RTL reads while it runs may change, so its hash equals no later one.
        found["rtl"] = "not all known"
    if checkpoint is not None:
        found["checkpoint"] = file_digest(checkpoint)
    if adapter is not None:
        found["adapter"] = adapter_digest(adapter)
    return found


def adapter_digest(path: Path) -> str:
    """Returns the hash of an adapter and of the modules that it imports.

    These are the modules of this project, also those imported by others, and the modules and
    packages in its folder. Raises SyntaxError if one of these is no Python.
    """
    files: set[Path] = set()
    left = {path.absolute()}  # files count by their place below the project's root
    folder = path.absolute().parent
    while left:
        file = left.pop()
        files.add(file)
        for name in names_imported(file):
            files |= imported(name)
            top = name.partition(".")[0]
            beside = {folder / f"{top}.py", *(folder / top).rglob("*.py")}
            left |= {one for one in beside if one.is_file()} - files
    return files_digest(files)


def others(found: Mapping[str, Any], now: Mapping[str, str], needed: Iterable[str]) -> list[str]:
    """Returns in words what a result is about whose hash differs from the present one in `now`.

    `now` has hashes by the names of WORDS, except the one of the bench, which is found here. A name
    of `needed` that the result does not have counts as another one.
    """
    modules = found.get("modules")
    known = isinstance(modules, list) and all(isinstance(name, str) for name in modules)
    now = {**now, "bench": code(*modules) if known else ""}
    return [WORDS[name] for name in WORDS if name in needed and found.get(name) != now[name]]
