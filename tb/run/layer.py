"""Runs a trained layer on the Verilog array and checks every psum against PyTorch.

The tiles of `tb.run check` come first, because a trained layer lacks extreme weights and psums.

python -m tb.run layer                                # 16 images of features.27 under Icarus
python -m tb.run layer --sim verilator --images 100
python -m tb.run layer --model layers.safetensors     # a layer that pymodel.own_network wrote
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.images import load_images
from pymodel.layer_capture import DEFAULT_LAYER, capture, find_layer, find_next
from pymodel.own_network.layer_file import is_layer_file, load_layer
from pymodel.reference.layer_data import MAX_ABS_ERROR, MAX_ERROR_STEPS, LayerData, layer_data
from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, publish, temporary_folder
from pymodel.support.result_files import publish_results
from tb.components.array_adapter import OWN, adapter_class
from tb.components.array_size import add_size_options, asked_size, make_variables, sized
from tb.run.array_run import ArrayRun
from tb.run.check import Verdict, check, shipped_that_fits
from tb.sim.run_bench import RESULTS_XML
from tb.sim.simulators import check_simulator, random_seed
from tb.sim.sources import check_sources
from tb.sim.wave_window import check_waveform
from tb.sim.waves import WAVEFORM, Watch

SETTINGS = "SYSTOLIC_LAYER_JOB"  # environment variable that carries a LayerJob into the simulator
DEFAULT_IMAGES = 16


@dataclass(frozen=True)
class LayerJob:
    """A run of a trained layer: which layer, on how many images, and where the results go."""

    simulator: str
    layer: str = DEFAULT_LAYER
    images: int = DEFAULT_IMAGES
    checkpoint: str = str(SHIPPED)  # checkpoint, or a file of exported layers
    results: str = str(RESULTS / "layer.json")  # JSON that the simulation writes
    dut: str = str(OWN)
    pixels: int = 0  # approximate number of output pixels to compute; 0: all
    seed: int = 0  # seed that draws the windows

    def settings(self) -> dict[str, str]:
        """Returns the environment variables that carry the job into the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @property
    def record(self) -> Path:
        """Returns the file of the run's record, which lies beside its results."""
        return Path(self.results).with_suffix(".npz")

    def read(self) -> LayerData:
        """Returns the layer on its images; raises InputError if the file or the layer is wrong."""
        whole = self.read_whole()
        return whole.sampled(self.pixels, self.seed) if self.pixels else whole

    def read_whole(self) -> LayerData:
        """Returns the layer with all output pixels; raises InputError as `read` does."""
        if is_layer_file(self.checkpoint):
            return load_layer(self.checkpoint, self.layer).first(self.images)
        model, _ = load_checkpoint(self.checkpoint)
        return layer_data(capture(model, load_images().first(self.images).images, self.layer))


class Choice(NamedTuple):
    """A layer to run."""

    layer: str  # name
    images: int  # number of images that there are
    bits: tuple[int, int]  # bits of an activation code and of a weight code
    zero: int = 0  # zero point of the activations


def choose_layer(path: str, name: str | None) -> Choice:
    """Returns the layer to run.

    Without a `name` the layer is DEFAULT_LAYER, or the only layer of a file of exported layers.
    Raises InputError if the file is neither a checkpoint nor exported layers, or lacks the layer.
    """
    if is_layer_file(path):
        layer = load_layer(path, name)
        bits = layer.activation_bits, layer.weight_bits
        return Choice(layer.name, len(layer.activation_codes), bits, layer.zero)
    model, _ = load_checkpoint(path)
    name = DEFAULT_LAYER if name is None else name
    layer = find_layer(model, name)
    find_next(model, name)
    bits = layer.activation_quantiser.bits, layer.weight_quantiser.bits
    return Choice(name, len(load_images()), bits)


def main() -> int:
    parser = CommandParser("tb.run layer", __doc__)
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    parser.add_argument("--images", help=f"number of images; default {DEFAULT_IMAGES}")
    parser.add_argument(
        "--layer", help=f"a quantised layer; default {DEFAULT_LAYER}, or the only one of a file"
    )
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint, or exported layers")
    parser.add_argument(
        "--pixels", help="number of output pixels to compute, in windows; default: all of them"
    )
    add_size_options(parser)
    parser.add_argument("--waves", action="store_true", help="write a waveform")
    parser.add_argument(
        "--dut", type=Path, default=OWN, help="adapter of an array, a Python file; default: ours"
    )
    parser.add_argument(
        "--rtl", type=Path, help="folder of Verilog sources instead of the adapter's"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS / "layer.json", help="JSON to write"
    )
    arguments = parser.parse_args()

    check_simulator(arguments.sim, arguments.waves)
    adapter_class(arguments.dut)  # what is wrong with an adapter is said first
    seed = int(random_seed())
    choice = choose_layer(arguments.model, arguments.layer)
    asked = asked_size(arguments)
    dut = sized(arguments.dut, choice.bits, choice.zero, asked)
    if arguments.rtl:
        dut = dut.changed(SOURCES=check_sources(arguments.rtl))
    images = min(DEFAULT_IMAGES, choice.images)
    if arguments.images is not None:
        images = whole_number("IMAGES", arguments.images, 1, choice.images)

    results = arguments.results.absolute()
    job = LayerJob(
        arguments.sim,
        choice.layer,
        images,
        str(Path(arguments.model).absolute()),
        str(results),
        str(arguments.dut.absolute()),
        whole_number("PIXELS", arguments.pixels, 1, 10**9) if arguments.pixels else 0,
        seed,
    )
    # A filter of the user's is for the tests of the layer.
    unfiltered = {"COCOTB_TEST_FILTER": "", "COCOTB_TESTCASE": ""}
    # Found before the first simulation, which compiles the sources
    benches = "tb.run.layer_bench", "tb.run.array_bench"
    about = {"simulator": arguments.sim, "path": arguments.dut, "checkpoint": arguments.model}
    subject = dut.subject(*benches, **about)
    sizes = asked.settings()
    first = check(arguments.dut, arguments.sim, dut, unfiltered | sizes)
    name = arguments.dut.stem
    run = ArrayRun("tb.run.layer_bench", job, job.simulator, dut, name, sizes)
    with temporary_folder("layer") as folder:
        try:
            failure = run.start(folder, Watch(str(WAVEFORM)) if arguments.waves else None)
        except InputError:
            fitting = shipped_that_fits(first.codes)
            if fitting and fitting != Path(arguments.model).absolute():
                variables = f"{make_variables(arguments, dut)} MODEL={os.path.relpath(fitting)}"
                tell(f"A trained layer that fits: make {variables}")
            raise
        found = subject.unchanged()
        # The results of an earlier run stay until this run's results are there.
        run.publish_record(folder)
        publish(folder / RESULTS_XML, results.with_name("results.xml"))
        if arguments.waves:
            publish_waveform(run.waveform(folder))
        passed = not (failure or first.failure)
        publish_results(run.results(folder), results, passed=passed, about=found)
        if results.exists():
            result = json.loads(results.read_text())
            tell(result_table(result, first, arguments.rtl))
        else:
            failure = failure or "the simulation ended without results"
        if failure and not quiet():
            run.explain(folder)
    if failure:
        return conclude(f"FAILED: {failure}", passed=False)
    shows = result["shows"]
    if first.failure:
        more = make_variables(arguments, dut)
        tell(f"Every {shows} of the layer is right. More: make check {more}")
        return conclude(f"FAILED: tiles of make check: {first.failure}", passed=False)
    return conclude(f"Every {shows} equals PyTorch's. Results: {os.path.relpath(results)}")


def publish_waveform(waveform: Path) -> None:
    """Copies a run's waveform to build/waves; raises InputError if it is cut off.

    If the run has no waveform, the one that an earlier run left in build/waves is removed.
    """
    if waveform.exists():
        check_waveform(waveform)
    publish(waveform, WAVEFORM)
    if WAVEFORM.exists():
        tell(f"Waveform: {os.path.relpath(WAVEFORM)}; open it with: make gtkwave")


def result_table(result: dict, first: Verdict, rtl: Path | None = None) -> str:
    """Returns the closing table of a run's results (the keys of layer.json).

    `first` is the verdict of the checks before the run, `rtl` the folder of the sources if they are
    not the adapter's.
    """
    per_cycle = result["macs"] / result["cycles"]
    shows, recovered = result["shows"], []
    if result["max_abs_error"] is not None:
        recovered = [
            ["outputs checked", f"{result['outputs_checked']:,}"],
            *zip(("largest error", "largest error in steps"), error_words(result), strict=True),
        ]
    rows = [
        ["simulator", result["simulator"]],
        ["array", f"{result['array']}, {result['rows']} × {result['cols']}{_widths(result)}"],
        *([["variables", _assigned(result["variables"])]] if result["variables"] else []),
        *([["sources", str(rtl)]] if rtl else []),
        ["tiles of make check", first.summary()],
        ["layer", result["layer"]],
        ["images", result["images"]],
        *_sample(result),
        [f"{shows}s checked", f"{result['psums_checked']:,}"],
        [f"{shows} mismatches", f"{result['psum_mismatches']:,}"],
        *recovered,
        ["cycles", f"{result['cycles']:,}"],
        ["MACs per cycle", f"{per_cycle:.2f} of {result['rows'] * result['cols']}"],
        ["utilisation", f"{result['utilisation']:.2%}"],
        ["simulated cycles per second", f"{result['cycles'] / result['seconds']:,.0f}"],
        ["non-zero outputs per channel", _shares(result["nonzero_share"])],
    ]
    dead = [str(c) for c, share in enumerate(result["nonzero_share"]) if share == 0]
    if dead:
        rows.append(["DEAD CHANNELS", f"{', '.join(dead)}: zero everywhere, so they prove nothing"])
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"


def _assigned(variables: dict[str, str]) -> str:
    """Returns variables with their values, as make takes them."""
    return " ".join(f"{name}={value}" for name, value in variables.items())


def _sample(result: dict) -> list[list[str]]:
    """Returns a row that says how many of the output pixels were computed, if not all."""
    some, whole = result["pixels"], result["pixels_of_layer"]
    share = f"{some:,} of {whole:,} ({some / whole:.1%}), drawn in windows"
    return [["output pixels", share]] if some < whole else []


def _widths(result: dict) -> str:
    """Returns the widths of the array in words, where they are not the usual four bits."""
    act, weight, signed = result["act_width"], result["weight_width"], result["act_signed"]
    if act == weight == 4 and not signed:
        return ""
    words = "signed activations" if signed else "activations"
    return f", {words} of {act} bits and weights of {weight} bits"


def error_words(result: dict) -> tuple[str, str]:
    """Returns the largest error of the outputs, and that in steps, each with its limit."""
    return (
        _error(result, "max_abs_error", MAX_ABS_ERROR),
        _error(result, "max_error_steps", MAX_ERROR_STEPS),
    )


def _error(result: dict, key: str, limit: float) -> str:
    """Returns an error as text, with its limit or, above it, what float32's rounding allows."""
    if result[key] < limit:
        return f"{result[key]:.2e} (limit {limit:g})"
    share = result["max_error_share"]
    return f"{result[key]:.2e} ({share:.0%} of what the rounding of float32 sums allows)"


def _shares(shares: list[float]) -> str:
    """Returns shares as text: all of them if they are few, else the smallest and the largest."""
    if len(shares) > 8:
        return f"{min(shares):.0%} to {max(shares):.0%}"
    return " ".join(f"{share:.0%}" for share in shares)
