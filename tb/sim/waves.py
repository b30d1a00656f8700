"""Writes the files by which a viewer shows a waveform, and opens the viewer (make waves).

python -m tb.sim                              # make waves: Surfer if it is installed, else GTKWave
python -m tb.sim mismatch                     # make waves WAVE=mismatch
python -m tb.sim --viewer gtkwave             # make waves WAVEFORM_VIEWER=gtkwave, or make gtkwave

`make WAVES=1` writes the waveform of the main job. Beside a waveform lie a save file for GTKWave
(.gtkw) and a command file for Surfer (.sucl), which show the same signals. The command file follows
Surfer's documentation; it is untested, since nobody has opened one in Surfer yet. In Surfer, values
have the default number format, and groups are dividers.
"""

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from cocotb.handle import HierarchyObject, LogicObject, PackedObject
from vcd.gtkw import GTKWSave

from pymodel.support.command import CommandParser
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, replacing

CLOCK_PERIOD_NS = 10
WAVES = ROOT / "build" / "waves"
WAVEFORM = WAVES / "layer.fst"
SETTINGS = "SYSTOLIC_WATCH"  # environment variable that carries a Watch into the simulator
SAVE_FILES = {"surfer": ".sucl", "gtkwave": ".gtkw"}  # per viewer, the preferred one first


@dataclass(frozen=True)
class Watch:
    """The request for a waveform of a run; the array's adapter writes the viewers' files for it."""

    waveform: str  # its future path; the viewers' files go beside it
    stop: int = 0  # cycle after which the simulation ends, if not 0
    marker: int = -1  # time that the viewer marks, in the simulator's time steps, −1 for none

    def settings(self) -> dict[str, str]:
        """Returns the environment variables that carry the watch into the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @classmethod
    def of_this_run(cls) -> "Watch | None":
        """Returns the watch that this simulation was started with, or None if there is none."""
        text = os.environ.get(SETTINGS)
        return cls(**json.loads(text)) if text else None

    def write_save_file(self, trace: Callable[[GTKWSave], None]) -> None:
        """Writes GTKWave's save file and Surfer's command file; `trace` names the signals."""
        gtkwave, surfer = io.StringIO(), io.StringIO()
        save = SaveFile(gtkwave, surfer)
        save.dumpfile(self.waveform)
        save.zoom_markers(-16.3, self.marker)
        save.size(1600, 1000)
        save.signals_width(330)
        trace(save)
        if self.marker >= 0:
            print(f"cursor_set {self.marker}", file=surfer)
        for viewer, file in (("gtkwave", gtkwave), ("surfer", surfer)):
            with replacing(Path(self.waveform).with_suffix(SAVE_FILES[viewer])) as temporary:
                temporary.write_text(file.getvalue())


class SaveFile(GTKWSave):
    """Writes GTKWave's save file, and to `surfer` the commands that show the same signals there."""

    def __init__(self, gtkwave: TextIO, surfer: TextIO):
        super().__init__(gtkwave)
        self.surfer = surfer

    def trace(self, name: str, *args, **options) -> None:
        """Adds a signal.

        Its range of bits is part of the name for GTKWave, and is left out for Surfer.
        """
        super().trace(name, *args, **options)
        bare = re.sub(r"\[\d+:\d+\]$", "", name)
        print(f"variable_add {bare}", file=self.surfer)

    def begin_group(self, name: str, *args, **options) -> None:
        """Begins a group. For Surfer it is a divider, whose name has no blanks."""
        super().begin_group(name, *args, **options)
        print(f"divider_add {name.replace(' ', '_')}", file=self.surfer)


def time_ns(cycle: int) -> int:
    """Returns the time at which `cycle` of the main job begins, in ns.

    A cycle begins with a rising edge, the first of which is after half a period. Two cycles are of
    reset.
    """
    return (2 + cycle) * CLOCK_PERIOD_NS + CLOCK_PERIOD_NS // 2


def signals_of(dut: HierarchyObject) -> list[LogicObject | PackedObject]:
    """Returns the signals of a module by name: ports, wires and registers of bits, no arrays."""
    signals = [h for h in dut if isinstance(h, LogicObject | PackedObject) and not h.is_const]
    return sorted(signals, key=lambda handle: handle._name)


def trace_top(save: GTKWSave, dut: HierarchyObject, clock: str) -> None:
    """Adds the signals of the top module to a save file, the clock first."""
    top = dut._name
    save.treeopen(f"{top}.")
    save.trace(f"{top}.{clock}")
    for handle in signals_of(dut):
        if isinstance(handle, PackedObject):
            save.trace(f"{top}.{handle._name}[{handle.range.left}:{handle.range.right}]")
        elif handle._name != clock:
            save.trace(f"{top}.{handle._name}")


def trace_array(save: GTKWSave, rows: int = 8, cols: int = 8) -> None:
    """Adds the signals of systolic_array in groups: the ports, then the signals of each PE."""
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
    parser.add_argument("--viewer", help="surfer or gtkwave; default: the first one installed")
    arguments = parser.parse_args()
    waveform = WAVES / f"{arguments.wave}.fst"
    if not waveform.exists():
        there = ", ".join(sorted(path.stem for path in WAVES.glob("*.fst"))) or "none"
        raise InputError(
            f"{os.path.relpath(waveform)}: not found, there is {there}; make WAVES=1 writes 'layer'"
        )
    command = viewer_command(installed_viewer(arguments.viewer), waveform)
    return subprocess.run(command, cwd=ROOT).returncode


def installed_viewer(chosen: str | None) -> str:
    """Returns the chosen viewer, or by default the first of SAVE_FILES that is installed.

    Raises InputError if `chosen` is no viewer, or if it is not installed.
    """
    if chosen is not None and chosen not in SAVE_FILES:
        raise InputError(f"WAVEFORM_VIEWER is '{chosen}', expected {' or '.join(SAVE_FILES)}")
    for name in [chosen] if chosen else SAVE_FILES:
        if shutil.which(name):
            return name
    if chosen == "surfer":
        raise InputError("surfer is not installed; WAVEFORM_VIEWER=gtkwave opens GTKWave instead")
    missing = "gtkwave is not" if chosen else f"neither {' nor '.join(SAVE_FILES)} is"
    raise InputError(f"{missing} installed; type: apt-get install gtkwave")


def viewer_command(viewer: str, waveform: Path) -> list[str]:
    """Returns the command line that opens a waveform, with the viewer's file if there is one."""
    save = waveform.with_suffix(SAVE_FILES[viewer])
    # Short, since GTKWave has them in its title
    names = [os.path.relpath(path, ROOT) for path in (waveform, save)]
    if not save.exists():
        return [viewer, names[0]]
    option = ["--command-file"] if viewer == "surfer" else []
    return [viewer, names[0], *option, names[1]]
