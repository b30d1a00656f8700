"""Runs a folder of tile text files on the Verilog array and checks psums and outputs.

python -m tb.run replay --dir folder
python -m tb.run replay --dir folder --height 4 --sim verilator  # 4 rows, not square
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from pymodel.hardware.tile_text import LANES, POSITIONS, TextFile, TileText, read_folder, sums
from pymodel.hardware.tiling import Tile, Tiles
from pymodel.reference.integer_convolution import integer_convolution, raster_psums
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, temporary_folder, write_json
from tb.components.array_adapter import OWN, adapter_class
from tb.components.tile_run import Record, TileRun
from tb.run.array_run import ArrayRun
from tb.run.replay_bench import ReplayJob
from tb.sim.simulators import check_simulator, random_seed


@dataclass(frozen=True)
class Comparison:
    """The numbers of one file beside those of the RTL and those of PyTorch."""

    file: TextFile
    got: np.ndarray  # int64 [lines, 8], from the RTL
    truth: np.ndarray  # int64 [lines, 8], from PyTorch
    place: Callable[[int], str]  # what a line is of, in words

    @property
    def differing(self) -> int:
        """Returns the number of values in the file that differ from those of the RTL."""
        return int((self.file.values != self.got).sum())

    def first_difference(self) -> str:
        """Returns in words where the file and the RTL differ first, and which of them is right.

        The two must differ somewhere.
        """
        line, channel = map(int, np.argwhere(self.file.values != self.got)[0])
        at = line, channel
        expected, got, truth = self.file.values[at], self.got[at], self.truth[at]
        if got == truth:
            verdict = (
                "the RTL agrees with PyTorch: this file is wrong there, or one of the inputs is"
            )
        elif expected == truth:
            verdict = "the file agrees with PyTorch: the RTL is wrong there"
        else:
            verdict = f"PyTorch has {truth}: both are wrong there"
        return (
            f"{self.file.place(line)}: {self.place(line)}, channel {channel}: expected {expected} "
            f"(file), got {got} (RTL), {self.differing} differ; {verdict}"
        )


def raster_run(folder: TileText) -> TileRun:
    """Returns nine tiles that stream every pixel of the padded map, with their psums by PyTorch."""
    _, *size = folder.activations.shape
    stream = folder.activations.reshape(LANES, -1).T
    tiles = Tiles(
        [Tile(0, *divmod(position, 3), 0) for position in range(POSITIONS)],
        folder.weights.transpose(2, 3, 1, 0).reshape(POSITIONS, LANES, LANES),
        np.tile(stream, (1, POSITIONS, 1, 1)),
        tuple(size),
    )
    expected = raster_psums(torch.tensor(folder.activations), torch.tensor(folder.weights))
    return TileRun(tiles, expected[None].numpy())


def main() -> int:
    parser = CommandParser("tb.run replay", __doc__)
    parser.add_argument("--dir", default="", help="folder of tile text files")
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    parser.add_argument(
        "--height", help="height of the map without padding, in pixels; default: it is square"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS / "replay.json", help="JSON to write"
    )
    arguments = parser.parse_args()

    if not arguments.dir:
        raise InputError("DIR is not set, expected a folder: make replay DIR=folder")
    height = arguments.height
    if height is not None and not (height.isdecimal() and int(height)):
        raise InputError(f"--height is '{height}', expected a whole number from 1 on")
    check_simulator(arguments.sim)
    random_seed()
    dut = adapter_class(OWN)
    results = arguments.results.absolute()
    tiles = read_folder(Path(arguments.dir), None if height is None else int(height))

    with temporary_folder("replay") as folder:
        raster_run(tiles).save(folder / "tiles.npz")
        job = ReplayJob(str(folder / "tiles.npz"), str(results))
        run = ArrayRun("tb.run.replay_bench", job, arguments.sim, dut, list(dut.SOURCES))
        failure = run.start(folder)
        failures = [str(failure)] if failure else []
        # An earlier run's results stay until there are this one's.
        run.publish_record(folder)
        record = run.record(folder)
        if record and len(record.received) == record.run.expected[..., 0].size:
            result, differences = check(tiles, record)
            result = {"simulator": arguments.sim, "folder": arguments.dir, **result}
            write_json(results, result)
            tell(result_table(result))
            failures += differences
        else:
            results.unlink(missing_ok=True)
            failures = failures or ["the simulation ended without results"]
        if failure and not quiet():
            run.explain(folder)
    if failures:
        return conclude("\n".join(f"FAILED: {line}" for line in failures), passed=False)
    equal = "PyTorch's and the files'" if tiles.psums or tiles.outputs else "PyTorch's"
    return conclude(f"Every psum and sum equals {equal}. Results: {os.path.relpath(results)}")


def check(folder: TileText, record: Record) -> tuple[dict, list[str]]:
    """Compares a whole run with PyTorch and with the files.

    Returns the results (the keys of replay.json), and a line for each thing that is wrong.
    """
    _, rows, columns = folder.activations.shape
    height, width = rows - 2, columns - 2
    truth = record.run.expected[0]
    got = record.received.reshape(truth.shape)
    got_sums = sums(got, height, width)
    whole = integer_convolution(
        torch.tensor(folder.activations)[None], torch.tensor(folder.weights), 1, 0
    )
    true_sums = whole[0].flatten(1).T.numpy()

    psums = [
        _psum_comparison(file, position, got, truth, columns) for position, file in folder.psums
    ]
    outputs = [
        Comparison(
            file, got_sums.clip(0), true_sums.clip(0), lambda line: f"pixel {divmod(line, width)}"
        )
        for file in folder.outputs
    ]
    result = {
        "height": height,
        "width": width,
        "input_files": [file.path.name for file in folder.inputs],
        "psum_files": [c.file.path.name for c in psums],
        "output_files": [c.file.path.name for c in outputs],
        "psums_checked": got.size,
        "psum_mismatches": int(record.wrong().sum()),
        "sums_checked": got_sums.size,
        "sum_mismatches": int((got_sums != true_sums).sum()),
        "file_psums_checked": sum(c.got.size for c in psums),
        "file_psum_mismatches": sum(c.differing for c in psums),
        "file_outputs_checked": sum(c.got.size for c in outputs),
        "file_output_mismatches": sum(c.differing for c in outputs),
        "cycles": int(record.cycles[-1]) + 1,
    }
    differences = [c.first_difference() for c in (*psums, *outputs) if c.differing]
    if result["sum_mismatches"] and not result["psum_mismatches"]:
        differences.insert(0, "the sums over the tiles differ from PyTorch's integer convolution")
    return result, differences


def _psum_comparison(
    file: TextFile, position: int, got: np.ndarray, truth: np.ndarray, columns: int
) -> Comparison:
    """Returns the comparison of a file of psums that starts with kernel position `position`.

    `got` and `truth` are all psums, [9, padded pixels, 8]; `columns` is the width of the padded
    map.
    """
    pixels = got.shape[1]
    first = position * pixels
    rtl, pytorch = (
        table.reshape(-1, LANES)[first : first + len(file.values)] for table in (got, truth)
    )

    def place(line: int) -> str:
        k, pixel = divmod(first + line, pixels)
        return f"kernel position {divmod(k, 3)}, padded pixel {divmod(pixel, columns)}"

    return Comparison(file, rtl, pytorch, place)


def result_table(result: dict) -> str:
    """Returns the closing table: what was compared with what (the keys of replay.json)."""

    def checked(what: str) -> str:
        return f"{result[f'{what}s_checked']:,} checked, {result[f'{what}_mismatches']:,} differ"

    def in_files(what: str) -> str:
        files = result[f"{what}_files"]
        return f"{checked(f'file_{what}')}: {_listed(files)}" if files else "there are none"

    pixels = (result["height"] + 2) * (result["width"] + 2)
    rows = [
        ["simulator", result["simulator"]],
        ["map", f"{result['height']} × {result['width']}, {pixels:,} padded pixels"],
        ["inputs", _listed(result["input_files"])],
        ["psums by PyTorch", checked("psum")],
        ["sums by PyTorch", checked("sum")],
        ["psums in files", in_files("psum")],
        ["outputs in files", in_files("output")],
        ["cycles", f"{result['cycles']:,}"],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"


def _listed(names: list[str]) -> str:
    """Returns the names in a row; those of the nine kernel positions become one name."""
    listed = (name.replace("kij0", "kij0..8") for name in names if not re.search("kij[1-8]", name))
    return ", ".join(listed)
