"""Runs a trained layer on the Verilog array and checks every psum against PyTorch.

python -m tb.layer                                # 16 images of features.27 under Icarus
python -m tb.layer --sim verilator --images 100
"""

import argparse
import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tabulate import tabulate

from pymodel.capture import DEFAULT_LAYER, capture, find_layer, find_next
from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.errors import run_command, whole_number
from pymodel.files import RESULTS
from pymodel.images import load_images
from pymodel.layer_data import LayerData, layer_data
from tb.adapter import OWN, adapter_class
from tb.mismatch import explain
from tb.scoreboard import BenchError
from tb.simulator import check_simulator, check_sources, random_seed, run_bench
from tb.tile_run import Record
from tb.waves import WAVEFORM, Watch, keep_waveform

SETTINGS = "SYSTOLIC_LAYER_JOB"  # environment variable that carries a LayerJob into the simulator
MAX_ABS_ERROR = 1e-3  # of the recovered output, in the units of the next layer's input
MAX_ERROR_STEPS = 0.01  # of the recovered output, in units of one step of the integer sum


@dataclass(frozen=True)
class LayerJob:
    """What to run."""

    simulator: str
    layer: str = DEFAULT_LAYER
    images: int = 16
    checkpoint: str = str(SHIPPED)
    results: str = str(RESULTS / "layer.json")
    dut: str = str(OWN)

    def settings(self) -> dict[str, str]:
        """Environment variables for the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @property
    def record(self) -> Path:
        """Where the run leaves what came out, beside its results."""
        return Path(self.results).with_suffix(".npz")

    def read(self) -> LayerData:
        """The layer on the images; InputError for a checkpoint or layer that will not do."""
        model, _ = load_checkpoint(self.checkpoint)
        return layer_data(capture(model, load_images().first(self.images).images, self.layer))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tb.layer", description=__doc__.split("\n")[0])
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    parser.add_argument("--images", default="16", help="how many of the shipped images, 1 to 100")
    parser.add_argument("--layer", default=DEFAULT_LAYER, help="a quantised convolution")
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--waves", action="store_true", help="write a waveform")
    parser.add_argument(
        "--dut", type=Path, default=OWN, help="adapter of the array, a Python file; default: ours"
    )
    parser.add_argument(
        "--rtl", type=Path, help="folder of Verilog sources instead of the adapter's"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS / "layer.json", help="JSON to write"
    )
    arguments = parser.parse_args()

    check_simulator(arguments.sim, arguments.waves)
    dut = adapter_class(arguments.dut)
    sources = check_sources(arguments.rtl) if arguments.rtl else list(dut.SOURCES)
    random_seed()
    shipped = load_images()
    images = whole_number("IMAGES", arguments.images, 1, len(shipped))
    model, _ = load_checkpoint(arguments.model)
    find_layer(model, arguments.layer)
    find_next(model, arguments.layer)

    results = arguments.results.absolute()
    job = LayerJob(
        arguments.sim, arguments.layer, images,
        str(Path(arguments.model).absolute()), str(results), dut=str(arguments.dut.absolute()),
    )  # fmt: skip
    for path in (results, job.record):  # so that what is there afterwards is of this run
        path.unlink(missing_ok=True)
    if arguments.waves:
        WAVEFORM.unlink(missing_ok=True)

    def run(job: LayerJob, watch: Watch | None = None) -> tuple[Path, BenchError | None]:
        """Where the waveform is, if one was written, and what went wrong."""
        failure = None
        try:
            build = run_bench(
                "tb.test_layer", dut.TOPLEVEL, simulator=job.simulator, sources=sources,
                parameters=dict(dut.PARAMETERS), waves=watch is not None,
                settings=job.settings() | (watch.settings() if watch else {}),
                variant=arguments.dut.stem,
            )  # fmt: skip
        except BenchError as error:
            failure, build = error, error.build
        return build / f"{dut.TOPLEVEL}.fst", failure

    waveform, failure = run(job, Watch(str(WAVEFORM)) if arguments.waves else None)
    if arguments.waves and waveform.exists():
        print(f"Waveform: {os.path.relpath(keep_waveform(waveform))}; open it with: make gtkwave")
    if results.exists():
        print(report(json.loads(results.read_text())))
    elif not failure:
        failure = "the simulation ended without results"
    if failure:
        if job.record.exists():

            def again(watch: Watch) -> Path:
                with tempfile.TemporaryDirectory() as folder:
                    elsewhere = replace(job, results=str(Path(folder) / "layer.json"))
                    return run(elsewhere, watch)[0]

            explain(Record.load(job.record), again)
        print(f"FAILED: {failure}")
        return 1
    print(f"Every psum equals PyTorch's. Results: {os.path.relpath(results)}")
    return 0


def report(result: dict) -> str:
    """The closing table."""
    per_cycle = result["macs"] / result["cycles"]
    rows = [
        ["simulator", result["simulator"]],
        ["array", f"{result['array']}, {result['rows']} × {result['cols']}"],
        ["layer", result["layer"]],
        ["images", result["images"]],
        ["psums checked", f"{result['psums_checked']:,}"],
        ["psum mismatches", result["psum_mismatches"]],
        ["outputs checked", f"{result['outputs_checked']:,}"],
        ["largest error", f"{result['max_abs_error']:.2e} (limit {MAX_ABS_ERROR:g})"],
        ["largest error in steps", f"{result['max_error_steps']:.2e} (limit {MAX_ERROR_STEPS:g})"],
        ["cycles", f"{result['cycles']:,}"],
        ["MACs per cycle", f"{per_cycle:.2f} of {result['rows'] * result['cols']}"],
        ["utilisation", f"{result['utilisation']:.2%}"],
        ["simulated cycles per second", f"{result['cycles'] / result['seconds']:,.0f}"],
        ["non-zero outputs per channel", " ".join(f"{s:.0%}" for s in result["nonzero_share"])],
    ]
    dead = [str(c) for c, share in enumerate(result["nonzero_share"]) if share == 0]
    if dead:
        rows.append(["DEAD CHANNELS", f"{', '.join(dead)}: zero everywhere, so they prove nothing"])
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"


if __name__ == "__main__":
    run_command(main)
