"""The waveform of the main job: `make WAVES=1` writes it, `make gtkwave` opens it in GTKWave.

python -m tb.waves
"""

import shutil
import subprocess
from pathlib import Path
from typing import TextIO

from vcd.gtkw import GTKWSave

from pymodel.errors import InputError, run_command
from pymodel.files import ROOT, replacing
from tb.adapter import CLOCK_PERIOD_NS

WAVES = ROOT / "build" / "waves"
WAVEFORM = WAVES / "layer.fst"
SAVE_FILE = WAVES / "layer.gtkw"


def time_ns(cycle: int) -> int:
    """When `cycle` of the main job begins in its waveform, ns; two of reset come before cycle 0."""
    return (2 + cycle) * CLOCK_PERIOD_NS


def keep_waveform(waveform: Path) -> Path:
    """Copy the waveform of a run out of its build folder and write the save file; its path."""
    with replacing(WAVEFORM) as temporary:
        shutil.copy(waveform, temporary)
    with replacing(SAVE_FILE) as temporary, temporary.open("w") as file:
        write_save_file(file)
    return WAVEFORM


def write_save_file(file: TextIO, rows: int = 8, cols: int = 8) -> None:
    """Group the array's signals: inputs and outputs, then per row and column what each PE holds."""
    top = "systolic_array"
    widths = {"act": 4, "weight": 4, "psum": 16}
    save = GTKWSave(file)
    save.dumpfile(str(WAVEFORM))
    save.zoom_markers(-16.3)
    save.size(1600, 1000)
    save.signals_width(330)
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
    if not WAVEFORM.exists():
        raise InputError(
            f"{WAVEFORM.relative_to(ROOT)}: not found; write it first with: make WAVES=1"
        )
    if shutil.which("gtkwave") is None:
        raise InputError("gtkwave is not installed; type: apt-get install gtkwave")
    files = [path.relative_to(ROOT) for path in (WAVEFORM, SAVE_FILE)]  # short in its title
    return subprocess.run(["gtkwave", *map(str, files)], cwd=ROOT).returncode


if __name__ == "__main__":
    run_command(main)
