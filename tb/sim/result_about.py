"""Says by hashes what a result is about, and whether the files here are still the same."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.result_files import file_digest
from tb.sim.files_read import compiler_options, files_read
from tb.sim.kept_results import code, files_digest, imported, names_imported
from tb.sim.source_notes import source_notes
from tb.sim.sources import RTL, Untouched, check_sources, rtl_digest, sources_digest

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
    options: Sequence[str] = (),
    simulator: str = "icarus",
    checkpoint: str | Path | Sequence[str | Path] = (),
    adapter: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns what a result is about: a hash by each name of WORDS that matters to it.

    `modules` ("tb.test_pe") are those whose code found the result. The RTL is that of folder `rtl`
    or the Verilog files `sources`, compiled with `options`; None: the result is about no RTL.
    `checkpoint` is one path, or several. `variables` are those that the adapter read, with their
    values.
    """
    found: dict[str, Any] = {"modules": sorted(modules), "bench": code(*modules)}
    if sources is not None:
        found["rtl"] = sources_digest(sources, simulator, options)
    elif rtl is not None:
        found["rtl"] = rtl_digest(rtl, simulator)
        sources = check_sources(rtl)
    if sources is not None and files_read(simulator, sources, options).unknown:
        # The files that the RTL reads while it runs may change, so its hash equals no later one.
        found["rtl"] = "not all known"
    if checkpoint:
        found["checkpoint"] = " ".join(map(file_digest, several(checkpoint)))
    if adapter is not None:
        words = [f"{name}={value}" for name, value in sorted((variables or {}).items())]
        found["adapter"] = " ".join([adapter_digest(adapter), *words])
    return found


class Subject:
    """What the results of a command are about, found when the command begins.

    The arguments are those of `about`.
    """

    def __init__(self, *modules: str, **settings: Any):
        self._find = partial(about, *modules, **settings)
        self.found = self._find()
        sources, rtl = settings.get("sources"), settings.get("rtl", RTL)
        if sources is None and rtl is not None:
            sources = check_sources(rtl)
        simulator, options = settings.get("simulator", "icarus"), settings.get("options", ())
        files = files_read(simulator, sources, options).files if sources else ()
        adapter = settings.get("adapter")
        more = set(several(settings.get("checkpoint", ())))
        more |= adapter_files(adapter) if adapter else set()
        self._untouched = Untouched([*files, *sorted(more)])
        sources = list(map(Path, sources or ()))
        notes = source_notes(files, simulator, options or compiler_options(sources), sources)
        tell(*notes)

    def unchanged(self) -> dict[str, Any]:
        """Returns what the results are about; raises InputError if that is no longer the same.

        A command calls this where it writes its results, so that none are about files that were
        changed while the command ran.
        """
        now = self._find()
        changed = [WORDS[name] for name in WORDS if self.found.get(name) != now.get(name)]
        if changed:
            raise InputError(
                f"there is {' and '.join(changed)} than when the command began, so its results are "
                "about neither; run the command again"
            )
        self._untouched.check()
        return self.found


def several(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Returns one path, or each of several."""
    return [Path(one) for one in ([paths] if isinstance(paths, str | Path) else paths)]


def adapter_digest(path: Path) -> str:
    """Returns the hash of an adapter and of the modules that it imports; see `adapter_files`."""
    return files_digest(adapter_files(path))


def adapter_files(path: Path) -> set[Path]:
    """Returns the files of an adapter and of the modules that it imports.

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
    return files


def others(found: Mapping[str, Any], now: Mapping[str, str], needed: Iterable[str]) -> list[str]:
    """Returns in words what a result is about whose hash differs from the present one in `now`.

    `now` has hashes by the names of WORDS, except the one of the bench, which is found here. A name
    of `needed` that the result does not have counts as another one.
    """
    modules = found.get("modules")
    known = isinstance(modules, list) and all(isinstance(name, str) for name in modules)
    now = {**now, "bench": code(*modules) if known else ""}
    return [WORDS[name] for name in WORDS if name in needed and found.get(name) != now[name]]
