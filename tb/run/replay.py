"""Runs a folder of tile text files on an array, and checks the files' psums and outputs.

python -m tb.run replay --dir folder
python -m tb.run replay --dir folder --height 4 --sim verilator  # 4 rows, not square
python -m tb.run replay --dir folder --weights rows --ignore old/weight.txt
"""

import os
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from pymodel.hardware.tiling import Tile, Tiles
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, temporary_folder
from pymodel.support.limits import check_memory
from pymodel.support.result_files import remove_results, write_results
from pymodel.tile_files.agreement import (
    ENOUGH,
    Agreement,
    Finding,
    Reading,
    find_reading,
    listed,
    nearness,
)
from pymodel.tile_files.compare_results import ResultReading, output_kinds
from pymodel.tile_files.conventions import add_options, fixed_by, taken
from pymodel.tile_files.identify_files import PSUM, TileFile, TileFolder, read_folder
from pymodel.tile_files.inputs import WEIGHT_BITS, WINDOWS, Geometry
from pymodel.tile_files.layer_json import read_geometry
from pymodel.tile_files.one_series import series_faults, series_gaps
from tb.components.array_adapter import OWN, adapter_class
from tb.components.dataflow_adapters import CoreAdapter
from tb.components.tile_run import Record, TileRun
from tb.run.array_run import ArrayRun
from tb.run.replay_bench import ReplayJob
from tb.sim.simulators import check_simulator, random_seed


@dataclass(frozen=True)
class CutLayer:
    """A layer of tile text files, cut into tiles for one array."""

    reading: Reading
    run: TileRun
    inputs: list[slice]  # input channels of each input group

    def compares(self, way: ResultReading) -> bool:
        """Returns whether the array shows what is in a file of results.

        An array that gives sums shows neither psums nor the sums of one of several input tiles.
        """
        return self.run.shows == "psum" or (way.role != PSUM and way.inputs is None)

    def sums(self, received: np.ndarray, tile: int | None) -> np.ndarray:
        """Returns the sums [P, O] of an input tile of the files, or of all tiles added."""
        layer = self.reading.layer
        if self.run.shows == "psum":
            return layer.add_up(self.psums(received, tile))
        groups = received.reshape(-1, layer.pixels.shape[1], received.shape[-1])
        return np.concatenate(list(groups), axis=1)[:, : layer.channels[0]]

    def psums(self, received: np.ndarray, tile: int | None) -> np.ndarray:
        """Returns the psums [K, Q, O] of an input tile of the files, or of all tiles added.

        `received` are the psum vectors of the run, in order.
        """
        layer = self.reading.layer
        positions, _, streamed = layer.streams.shape
        received = received.reshape(-1, positions, len(self.inputs), streamed, received.shape[-1])
        groups = range(len(self.inputs))
        if tile is not None:
            part = self.reading.tiles[tile]
            groups = [g for g in groups if part.start <= self.inputs[g].start < part.stop]
        psums = received[:, :, list(groups)].sum(2).transpose(1, 2, 0, 3)
        return psums.reshape(positions, streamed, -1)[..., : layer.channels[0]]


def cut(reading: Reading, rows: int | None, cols: int) -> CutLayer:
    """Returns the layer in tiles for an array of `rows` × `cols`, with their psums by PyTorch.

    No tile holds channels of two input tiles of the files, so that the psums of each can be
    compared. Every streamed pixel is streamed for every kernel position. If `rows` is None, the
    array gives sums: a tile has all taps of its output channels, and the pixels of the outputs.
    """
    if rows is None:
        return _whole(reading, cols)
    layer = reading.layer
    positions, _, streamed = layer.streams.shape
    outputs = layer.channels[0]
    inputs = [
        slice(start, min(start + rows, part.stop))
        for part in reading.tiles
        for start in range(part.start, part.stop, rows)
    ]
    groups = range(-(-outputs // cols))
    tiles, weights, streams, expected = [], [], [], []
    psums = [layer.psums(part) for part in inputs]
    for group in groups:
        columns = slice(group * cols, (group + 1) * cols)
        for position in range(positions):
            for number, part in enumerate(inputs):
                tiles.append(Tile(group, *divmod(position, layer.kernel), number))
                weight = np.zeros((rows, cols), np.int8)
                found = layer.weights[position, columns, part].T
                weight[: found.shape[0], : found.shape[1]] = found
                weights.append(weight)
                stream = np.zeros((streamed, rows), np.int8)
                stream[:, : found.shape[0]] = layer.streams[position, part].T
                streams.append(stream)
                psum = np.zeros((streamed, cols), np.int64)
                psum[:, : found.shape[1]] = psums[number][position][:, columns]
                expected.append(psum)
    size = layer.output_size if layer.padded is None else layer.padded.shape[1:]
    run = TileRun(
        Tiles(tiles, np.stack(weights), np.stack(streams)[None], tuple(size)),
        np.stack(expected)[None],
    )
    return CutLayer(reading, run, inputs)


def _whole(reading: Reading, cols: int) -> CutLayer:
    """Returns the layer for an array of `cols` columns that gives sums, with PyTorch's sums."""
    layer = reading.layer
    outputs, inputs = layer.channels
    positions, pixels = layer.pixels.shape
    groups = -(-outputs // cols)
    weights = np.zeros((positions, inputs, groups * cols), np.int8)
    weights[..., :outputs] = layer.weights.swapaxes(1, 2)
    used = layer.streams[np.arange(positions)[:, None], :, layer.pixels]  # [K, P, I]
    stream = used.swapaxes(0, 1).reshape(1, 1, pixels, positions * inputs)
    sums = np.zeros((pixels, groups * cols), np.int64)
    sums[:, :outputs] = layer.sums
    tiles = Tiles(
        [Tile(group, 0, 0, 0) for group in range(groups)],
        np.stack(np.split(weights.reshape(positions * inputs, -1), groups, axis=1)),
        np.repeat(stream, groups, axis=1),
        layer.output_size,
    )
    expected = np.stack(np.split(sums, groups, axis=1))[None]
    return CutLayer(reading, TileRun(tiles, expected, "sum"), [slice(inputs)])


@dataclass(frozen=True)
class Comparison:
    """The numbers of one file beside those of the RTL and those of PyTorch."""

    result: Agreement
    got: np.ndarray  # int64, of the shape of the file's numbers, from the RTL
    reading: Reading

    @property
    def compared(self) -> int:
        """Number of values of the file that are in well-formed words."""
        words = self.result.reading.file.words
        return self.got.shape[1] * (len(words) - len(words.malformed))

    @property
    def wrong(self) -> np.ndarray:
        """Which numbers of the file differ from those of the RTL; malformed words do not count."""
        way = self.result.reading
        return (way.values != self.got) & way.file.words.well_formed[:, None]

    @property
    def differing(self) -> int:
        """Number of values in the file that differ from those of the RTL."""
        return int(self.wrong.sum())

    def failures(self) -> list[str]:
        """Returns in words what is wrong in the file: malformed words, and the first difference."""
        words = self.result.reading.file.words
        lines = []
        if words.malformed:
            lines.append(f"{words.first_fault()}; {len(words.malformed)} such words")
        if self.differing:
            lines.append(self._first_difference())
        return lines

    def _first_difference(self) -> str:
        """Returns in words where the file and the RTL differ first, and which of them is right."""
        way = self.result.reading
        line, number = map(int, np.argwhere(self.wrong)[0])
        at = line, number
        expected, got, truth = way.values[at], self.got[at], self.result.expected[at]
        if got == truth:
            verdict = (
                "the RTL agrees with PyTorch: this file is wrong there, or one of the inputs is"
            )
        elif expected == truth:
            verdict = "the file agrees with PyTorch: the RTL is wrong there"
        else:
            verdict = f"PyTorch has {truth}: both are wrong there"
        if self.result.share <= ENOUGH and got == truth:
            verdict += (
                f"; only {self.result.share:.0%} of the values that are not zero agree, so the "
                "file may be of another layer or input; --ignore "
                f"{way.file.name} leaves the file out"
            )
        return (
            f"{way.file.words.place(line)}: {way.place(self.reading.layer, line, number)}: "
            f"expected {expected} (file), got {got} (RTL), {self.differing} differ; {verdict}"
        )


def main() -> int:
    """Runs the command; returns 0 if all agrees, 1 if a value or a file is wrong."""
    parser = CommandParser("tb.run replay", __doc__)
    parser.add_argument("--dir", default="", help="folder of tile text files")
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    parser.add_argument(
        "--dut", type=Path, default=OWN, help="adapter of an array, a Python file; default: ours"
    )
    parser.add_argument(
        "--height", help="height of the map without padding, in pixels; default: it is square"
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of the folder to leave out, * for any text; may be given several times",
    )
    add_options(parser, "which the files decide by agreement")
    parser.add_argument(
        "--results", type=Path, default=RESULTS / "replay.json", help="JSON to write"
    )
    arguments = parser.parse_args()

    if not arguments.dir:
        raise InputError("DIR is not set, expected a folder: make replay DIR=folder")
    height = arguments.height
    if height is not None and not (height.isdecimal() and int(height)):
        raise InputError(f"--height is '{height}', expected a whole number from 1 on")
    fixed = fixed_by(arguments)
    check_simulator(arguments.sim)
    random_seed()
    dut = adapter_class(arguments.dut)
    results = arguments.results.absolute()
    directory = Path(arguments.dir)
    files = read_folder(directory, arguments.ignore)
    geometry = read_geometry(directory) or Geometry(height=height and int(height))
    # All these convolutions are small: more threads would wait for one another.
    torch.set_num_threads(1)
    finding = find_reading(files, geometry, fixed)
    whole = finding.reading.layer
    check_memory(arguments.dir, 1, whole.channels, whole.kernel**2, whole.streams.shape[2])
    if issubclass(dut, CoreAdapter) and dut.outputs != "sums":
        raise InputError(
            f"{arguments.dut}: {dut.__name__} gives {dut.outputs}, expected an array or a core "
            "that gives psums or sums, from which the numbers in the files follow"
        )
    layer = cut(finding.reading, *dut.tile_size())

    benches = "tb.run.replay_bench", "tb.run.replay"
    subject = dut.subject(*benches, simulator=arguments.sim, path=arguments.dut)
    with temporary_folder("replay") as folder:
        (folder / "input").mkdir()
        tiles = folder / "input" / "tiles.npz"
        layer.run.save(tiles)
        job = ReplayJob(str(tiles), str(results), str(arguments.dut.absolute()))
        variant = "" if arguments.dut.absolute() == OWN else arguments.dut.stem
        run = ArrayRun("tb.run.replay_bench", job, arguments.sim, dut, variant)
        failure = run.start(folder)
        failures = [str(failure)] if failure else []
        # An earlier run's results stay until there are this one's.
        run.publish_record(folder)
        record = run.record(folder)
        if record and len(record.received) == record.run.expected[..., 0].size:
            result, differences = check(layer, files, finding, record)
            result = {
                "simulator": arguments.sim,
                "array": dut.TOPLEVEL,
                "folder": arguments.dir,
                **result,
            }
            failures += differences
            write_results(results, result, passed=not failures, about=subject.unchanged())
            tell(conventions_table(finding))
            tell(result_table(result), *series_gaps(finding.reading, files))
        else:
            remove_results(results)
            failures = failures or ["the simulation ended without results"]
        if failure and not quiet():
            run.explain(folder)
    if failures:
        return conclude("\n".join(f"FAILED: {line}" for line in failures), passed=False)
    compared = result["psum_files"] or result["output_files"]
    equal = "PyTorch's and the files'" if compared else "PyTorch's"
    shown = "psum and sum" if result["shows"] == "psum" else "sum"
    return conclude(f"Every {shown} equals {equal}. Results: {os.path.relpath(results)}")


def check(
    cut_layer: CutLayer, files: TileFolder, finding: Finding, record: Record
) -> tuple[dict, list[str]]:
    """Compares a whole run with PyTorch and with the files.

    Returns the results (the keys of replay.json), and a line for each thing that is wrong.
    """
    reading = finding.reading
    layer = reading.layer

    @cache
    def got_psums(tile: int | None) -> np.ndarray:
        return cut_layer.psums(record.received, tile)

    @cache
    def got_outputs(kind: str, tile: int | None) -> np.ndarray:
        return output_kinds(layer, cut_layer.sums(record.received, tile))[kind][1]()

    sums = got_outputs("sums", None)
    compared = [
        Comparison(r, r.reading.expected(layer, got_psums, got_outputs), reading)
        for r in reading.results
        if cut_layer.compares(r.reading)
    ]
    psums = [c for c in compared if c.result.reading.role == PSUM]
    outputs = [c for c in compared if c.result.reading.role != PSUM]
    margin = 2 * reading.geometry.padding
    height, width = (
        (None, None) if layer.padded is None else (side - margin for side in layer.padded.shape[1:])
    )
    names = [f.name for r in (reading.activations, reading.weights) for f in r.files]
    misfits = {f.name: _misfit(f, reading) for f in reading.misfits}
    unusable = files.unusable | misfits
    result = {
        "height": height,
        "width": width,
        "input_channels": layer.channels[1],
        "output_channels": layer.channels[0],
        "input_files": sorted({*names, *finding.same}),
        "psum_files": [c.result.reading.file.name for c in psums],
        "output_files": [c.result.reading.file.name for c in outputs],
        "uncompared_files": [
            r.reading.file.name for r in reading.results if not cut_layer.compares(r.reading)
        ],
        "stale_files": list(finding.stale),
        "unusable_files": sorted(unusable),
        "unused_files": files.unused,
        "decided_by": finding.decided_by,
        "conventions": asdict(reading.conventions),
        "shows": cut_layer.run.shows,
        "psums_checked": record.received.size,
        "psum_mismatches": int(record.wrong().sum()),
        "sums_checked": sums.size,
        "sum_mismatches": int((sums != layer.sums).sum()),
        "file_psums_checked": sum(c.compared for c in psums),
        "file_psum_mismatches": sum(c.differing for c in psums),
        "file_outputs_checked": sum(c.compared for c in outputs),
        "file_output_mismatches": sum(c.differing for c in outputs),
        "cycles": int(record.cycles[-1]) + 1,
    }
    failures = [*finding.faults]
    if finding.decided_by == "no agreement":
        failures.append(
            f"{files.path}: no reading of the files agrees with more than {ENOUGH:.0%} of the "
            f"psums and outputs that are not zero; the nearest: {nearness(finding)}"
        )
    for comparison in compared:
        # One wrong input makes many results wrong: it is named instead of them.
        if not finding.fault or result["psum_mismatches"]:
            failures += comparison.failures()
    if finding.decided_by == "results" and not failures:
        failures += series_faults(reading, files)
    failures += _unusable_lines(unusable)
    if result["sum_mismatches"] and not result["psum_mismatches"]:
        failures.insert(0, "the sums over the tiles differ from PyTorch's integer convolution")
    return result, failures


def _unusable_lines(unusable: dict[str, str]) -> list[str]:
    """Returns a line for each file that could not be used, or for several with the same fault.

    `unusable` says what is wrong with a file, by its name.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name, fault in unusable.items():
        same = (re.sub(r"\d+", "*", name), re.sub(r"\d+", "*", fault))
        groups.setdefault(same, []).append(name)
    lines = []
    for (pattern, _), names in groups.items():
        fault = unusable[names[0]]
        if len(names) == 1:
            lines.append(f"{fault}; --ignore {names[0]} leaves the file out")
        else:
            lines.append(
                f"{fault}; {len(names)} such files, {listed(names)}; --ignore '{pattern}' leaves "
                "them out"
            )
    return lines


def _misfit(file: TileFile, reading: Reading) -> str:
    """Returns in words why no reading fits a file of psums or outputs."""
    layer = reading.layer
    positions, _, streamed = layer.streams.shape
    words, counted = file.words, layer.pixels.shape[1]
    return (
        f"{words.place(-1)}: the data ends after {len(words)} lines of {words.width} bits, "
        f"expected {streamed} or {positions * streamed} lines of psums, or {counted} of outputs, "
        f"for {layer.channels[0]} output channels; or the activations are of another map"
    )


def conventions_table(finding: Finding) -> str:
    """Returns a line for each convention: what was taken, and the option that fixes it."""
    reading = finding.reading
    conventions = reading.conventions
    names = ["activations"]
    names += ["windows", "pixels"] if conventions.activations in WINDOWS else ["map"]
    names += ["activation_bits", "weights", "weight_lines", "weight_numbers"]
    outputs, inputs = reading.layer.channels
    if conventions.activation_bits == "2" and inputs > 8:
        names += ["pairs", "pair_lines"]
    width = reading.weights.files[0].words.width
    if conventions.weights == "columns" and width == 2 * WEIGHT_BITS * reading.weights.tiles[0]:
        names += ["pair_lines", "output_pairs"]
    if any("core" in f.numbers for f in reading.weights.files):
        names += ["cores"]
    if reading.results:
        names += ["columns", *(["channels"] if outputs > 8 else [])]
    kinds = {r.reading.kind for r in reading.results if r.reading.role != PSUM}
    if kinds:
        names += ["outputs_in", "outputs"]
    rows = taken(conventions, names)
    heading = {
        "results": "The files were read in these conventions, by agreement (the option fixes it):",
        "nothing": "There are no psums or outputs to decide by. "
        "The files were read in the usual conventions:",
        "no agreement": "Psums and outputs agree with no reading. "
        "The files were read in the usual conventions:",
    }[finding.decided_by]
    if finding.decided_by == "nothing" and reading.misfits:
        heading = (
            "No psums or outputs fit the inputs. The files were read in the usual conventions:"
        )
    lines = [f"  {text}" for text in rows]
    if height := reading.geometry.height:
        lines.insert(1, f"  the map has {height} rows without padding (--height {height})")
    lines += [f"  outputs: {kind}" for kind in sorted(kinds - {"ReLU", "sums"})]
    return "\n" + "\n".join([heading, *lines])


def result_table(result: dict) -> str:
    """Returns the closing table: what was compared with what (the keys of replay.json)."""

    def checked(what: str) -> str:
        return f"{result[f'{what}s_checked']:,} checked, {result[f'{what}_mismatches']:,} differ"

    def in_files(what: str) -> str:
        files = result[f"{what}_files"]
        return f"{checked(f'file_{what}')}: {listed(files)}" if files else "there are none"

    size = "windows of output pixels"
    if result["height"]:
        size = f"{result['height']} × {result['width']}"
    rows = [
        ["simulator", result["simulator"]],
        ["array", result["array"]],
        ["map", size],
        ["channels", f"{result['input_channels']} → {result['output_channels']}"],
        ["inputs", listed(result["input_files"])],
        *([["psums by PyTorch", checked("psum")]] if result["shows"] == "psum" else []),
        ["sums by PyTorch", checked("sum")],
        *([["psums in files", in_files("psum")]] if result["shows"] == "psum" else []),
        ["outputs in files", in_files("output")],
        ["cycles", f"{result['cycles']:,}"],
    ]
    rows += [
        [title, listed(result[f"{what}_files"])]
        for what, title in (
            ("stale", "stale"),
            ("unusable", "could not be used"),
            ("unused", "not used"),
            ("uncompared", "not compared: the array gives sums"),
        )
        if result[f"{what}_files"]
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"
