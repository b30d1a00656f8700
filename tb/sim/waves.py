"""Waveforms: `make WAVES=1` writes that of the main job, `make gtkwave` opens it in GTKWave.

python -m tb.sim             # make gtkwave
python -m tb.sim mismatch    # make gtkwave WAVE=mismatch
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cocotb.handle import HierarchyObject, LogicObject, PackedObject
from vcd.gtkw import GTKWSave

from pymodel.support.command import CommandParser
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, replacing

CLOCK_PERIOD_NS = 10
WAVES = ROOT / "build" / "waves"
WAVEFORM = WAVES / "layer.fst"
SETTINGS = "SYSTOLIC_WATCH"  # environment variable that carries a Watch into the simulator


@dataclass(frozen=True)
class Watch:
    """A waveform of a run of an array: the array's adapter writes its save file."""

    waveform: str  # where it will be; the save file goes beside it
    stop: int = 0  # cycle after which the simulation ends, if not 0
    marker: int = -1  # in the save file, in the simulator's time steps, −1 for none

    def settings(self) -> dict[str, str]:
        """Environment variables for the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @classmethod
    def of_this_run(cls) -> "Watch | None":
        """In the simulator: what the command asked for, if it did."""
        text = os.environ.get(SETTINGS)
        return cls(**json.loads(text)) if text else None

    def write_save_file(self, trace: Callable[[GTKWSave], None]) -> None:
        """`trace` names the signals."""
        path = Path(self.waveform).with_suffix(".gtkw")
        with replacing(path) as temporary, temporary.open("w") as file:
            save = GTKWSave(file)
            save.dumpfile(self.waveform)
            save.zoom_markers(-16.3, self.marker)
            save.size(1600, 1000)
            save.signals_width(330)
            trace(save)


def time_ns(cycle: int) -> int:
    """When `cycle` of the main job begins in its waveform, ns; two of reset come before cycle 0."""
    return (2 + cycle) * CLOCK_PERIOD_NS


def trace_top(save: GTKWSave, dut: HierarchyObject, clock: str) -> None:
    """The signals of the top module, its clock first."""
    top = dut._name
    save.treeopen(f"{top}.")
    save.trace(f"{top}.{clock}")
    signals = [h for h in dut if isinstance(h, LogicObject | PackedObject) and not h.is_const]
    for handle in sorted(signals, key=lambda handle: handle._name):
        if isinstance(handle, PackedObject):
            save.trace(f"{top}.{handle._name}[{handle.range.left}:{handle.range.right}]")
        elif handle._name != clock:
            save.trace(f"{top}.{handle._name}")


def trace_array(save: GTKWSave, rows: int = 8, cols: int = 8) -> None:
    """Our array's, grouped: inputs and outputs, then per row and column what each PE holds."""
    top = "systolic_array"
    widths = {"act": 4, "weight": 4, "psum": 16}
    save.treeopen(f"{top}.")

    def pe(row: int, col: int) -> str:
        return f"{top}.g_row[{row}].g_col[{col}].pe"

    def bus(name: str, width: int) -> str:
        return f"{name}[{width - 1}:0]" if width > 1 else name

    with save.group("control"):
        for name in ("clk_i", "rst_i", "weight_valid_i"):
            save.trace(f"{top}.{name}")
        save.trace(bus(f"{top}.weight_col_i", max(1, (cols - 1).bit_length())), datafmt="dec")
        for name in ("act_valid_i", "act_swap_i", "psum_valid_o"):
            save.trace(f"{top}.{name}")
    with save.group("activations by row (column 0)"):
        for row in range(rows):
            save.trace(bus(f"{pe(row, 0)}.act_i", widths["act"]), f"row {row} act", datafmt="dec")
    with save.group("psums by column (south edge)"):
        for col in range(cols):
            south = bus(f"{pe(rows - 1, col)}.psum_o", widths["psum"])
            save.trace(south, f"column {col} psum", datafmt="signed")
    for row in range(rows):
        with save.group(f"row {row}", closed=row > 0):
            for col in range(cols):
                with save.group(f"row {row} column {col}", closed=col > 0):
                    for name, kind, datafmt in (
                        ("swap_i", None, "dec"),
                        ("weight_i", "weight", "signed"),
                        ("shadow", "weight", "signed"),
                        ("active", "weight", "signed"),
                        ("act_i", "act", "dec"),
                        ("psum_i", "psum", "signed"),
                        ("psum_o", "psum", "signed"),
                    ):
                        signal = f"{pe(row, col)}.{name}"
                        signal = bus(signal, widths[kind]) if kind else signal
                        save.trace(signal, f"[{row},{col}] {name}", datafmt=datafmt)


def main() -> int:
    parser = CommandParser("tb.sim", __doc__)
    parser.add_argument(
        "wave",
        nargs="?",
        default="layer",
        help="layer (make WAVES=1 writes it), mismatch (a failing make), or core (a failing sweep)",
    )
    name = parser.parse_args().wave
    waveform = WAVES / f"{name}.fst"
    if not waveform.exists():
        there = ", ".join(sorted(path.stem for path in WAVES.glob("*.fst"))) or "none"
        raise InputError(
            f"{os.path.relpath(waveform)}: not found, there is {there}; make WAVES=1 writes 'layer'"
        )
    if shutil.which("gtkwave") is None:
        raise InputError("gtkwave is not installed; type: apt-get install gtkwave")
    files = [path for path in (waveform, waveform.with_suffix(".gtkw")) if path.exists()]
    short = [str(path.relative_to(ROOT)) for path in files]  # in its title
    return subprocess.run(["gtkwave", *short], cwd=ROOT).returncode
