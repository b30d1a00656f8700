"""Runs a layer on the array and writes a report of it, one HTML file that needs no network.

python -m tb.report                            # 16 images, image 0 recorded cycle by cycle
python -m tb.report --images 4 --image 2 --sim verilator
python -m tb.report --model layers.safetensors # a layer that pymodel.own_network wrote
python -m tb.report --dut my_adapter.py        # another array
"""

import base64
import io
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs
from tabulate import tabulate
from torch import Tensor

from pymodel.checkpoint import SHIPPED, load_for_core
from pymodel.hardware.core import Layer
from pymodel.hardware.cycles import cycles, dense_limit_cycles, limit_cycles
from pymodel.hardware.tiling import gather
from pymodel.images import CLASS_NAMES, ImageSet, load_images
from pymodel.layer_capture import DEFAULT_LAYER
from pymodel.own_network.layer_file import is_layer_file
from pymodel.reference.integer_network import IntegerNetwork
from pymodel.reference.layer_data import LayerData
from pymodel.support.command import CommandParser, conclude, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing, temporary_folder
from pymodel.support.limits import MOST_SUM_BITS
from pymodel.vgg import VGG16
from tb.components.array_adapter import OWN, ArrayAdapter
from tb.components.array_size import Asked, sized
from tb.components.dataflow_adapters import CoreAdapter
from tb.components.tile_run import Record
from tb.host.core_program import CORE, jobs_of
from tb.report import charts
from tb.report.command_results import Row, read_all, read_log, shown, table, up_to_date, utc_text
from tb.report.cycle_view import extent, shown_cycles
from tb.report.recording import Recording, record
from tb.run.benchmark import BATCH, DEFAULT_BATCH, captured
from tb.run.layer import LayerJob, choose_layer, error_words
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.simulators import check_simulator, random_seed, simulator_version

OUTPUT = ROOT / "build" / "report.html"
TEMPLATES = Path(__file__).parent / "templates"
IMAGES = 16  # default number of images
MOST_MAPS = 8  # largest number of a layer's channels that are shown as pictures


@dataclass(frozen=True)
class LayerRun:
    """A run of the layer on the array: its data, what came out, and its closing figures."""

    data: LayerData  # the layer, with the codes that the array took
    lowest_act: int  # smallest activation code that the array takes
    images: ImageSet | None  # None: the inputs of an exported layer are not known
    record: Record
    sums: Tensor  # int64 [N, C_out, H', W'], from the array's psums
    result: dict  # closing figures, with the keys of build/results/layer.json

    @property
    def act_range(self) -> tuple[int, int]:
        """Returns the smallest and the largest activation code that the array takes."""
        return self.lowest_act, self.lowest_act + 2**self.data.activation_bits - 1

    @property
    def most_weight(self) -> int:
        """Returns the magnitude of the smallest weight code, −2^(bits − 1)."""
        return 2 ** (self.data.weight_bits - 1)


def main() -> int:
    parser = CommandParser("tb.report", __doc__)
    parser.add_argument("--sim", default="icarus", help="simulator: icarus or verilator")
    parser.add_argument("--images", default="", help=f"number of images; default {IMAGES}")
    parser.add_argument("--image", default="0", help="number of the recorded image, from 0")
    parser.add_argument(
        "--layer", help=f"a quantised layer; default {DEFAULT_LAYER}, or the only one of a file"
    )
    parser.add_argument(
        "--model", type=Path, default=SHIPPED, help="checkpoint, or exported layers"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the other commands' results"
    )
    parser.add_argument(
        "--dut", type=Path, default=OWN, help="adapter of the array, a Python file; default: ours"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="HTML file to write")
    arguments = parser.parse_args()

    check_simulator(arguments.sim)
    random_seed()
    if arguments.output.is_dir():
        raise InputError(f"{arguments.output}: is a folder, expected an HTML file to write")
    network = None if is_layer_file(arguments.model) else load_for_core(arguments.model)
    choice = choose_layer(str(arguments.model), arguments.layer)
    asked = arguments.images or str(min(IMAGES, choice.images))
    images = whole_number("IMAGES", asked, 1, choice.images)
    image = whole_number("IMAGE", arguments.image, 0, images - 1)
    dut = sized(arguments.dut, choice.bits, choice.zero, Asked())
    log_path = arguments.model.with_name("log.csv")
    log, results = read_log(log_path) if network else [], read_all(arguments.results)

    with temporary_folder("report") as folder:
        job = LayerJob(
            arguments.sim,
            choice.layer,
            images,
            str(arguments.model.absolute()),
            str(folder / "layer.json"),
            dut=str(arguments.dut.absolute()),
        )
        about = {"simulator": arguments.sim, "checkpoint": arguments.model}
        subject = dut.subject("tb.run.layer_bench", path=arguments.dut, **about)
        try:
            run = run_layer(job, dut)
            alone = str(folder / "recording.json")
            recording = record(replace(job, images=image + 1, results=alone), image, dut)
        except BenchError as error:
            arguments.output.unlink(missing_ok=True)  # an older page is of a run that passed
            return conclude(f"FAILED: {error}", passed=False)

    written = utc_text(datetime.now(UTC))
    found = subject.unchanged()
    now = {name: found[name] for name in ("rtl", "checkpoint", "adapter")}
    verification = [own_row(run, written), *table(arguments.results, results, now)]
    # Figures that are wrong or stale stand in the table alone.
    results = up_to_date(arguments.results, results, now)
    of_core = core_figures(network[0], results) if network else None
    own = arguments.dut.absolute() == OWN
    page = render(
        layer=layer_words(run, shown(arguments.model)),
        result=run.result,
        images=f"{images} image{'s' * (images > 1)}",
        error=error_words(run.result),
        network=bool(network),
        accuracies=accuracies(float(network[1]["accuracy"]), results) if network else [],
        clock=results["pnr"]["mhz"] if "pnr" in results else None,
        exact=int((run.data.difference(run.sums)[0] == 0).sum()),
        psums=psum_figures(run),
        cycles=of_core,
        training={"file": shown(log_path), "epochs": len(log)},
        verification=verification,
        simulator=simulator_version(arguments.sim),
        checkpoint=shown(arguments.model),
        written=written,
        recording=recording,
        extent=extent(recording),
        own=own,
        data={
            "recording": shown_cycles(recording, own),
            "pictures": pictures(run),
            "chosen": image,
            "figures": {
                name: json.loads(figure.to_json())
                for name, figure in figures(run, log, of_core, own).items()
            },
            "templates": {
                theme: charts.template(palette).to_plotly_json()
                for theme, palette in charts.PALETTES.items()
            },
        },
    )
    with replacing(arguments.output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    tell(result_table(run, recording, verification, len(page.encode())))
    return conclude(f"Open it in a browser: {shown(arguments.output)}")


def run_layer(job: LayerJob, dut: type[ArrayAdapter]) -> LayerRun:
    """Runs the job of `make`; raises BenchError if anything differs from PyTorch.

    Raises InputError for a core that gives no sums.
    """
    if issubclass(dut, CoreAdapter) and dut.outputs != "sums":
        raise InputError(
            f"{job.dut}: {dut.__name__} gives {dut.outputs}, expected an array or a core "
            "that gives psums or sums, which the page shows"
        )
    run_bench(
        "tb.run.layer_bench",
        **dut.design(),
        simulator=job.simulator,
        settings=job.settings(),
        waves=False,
        variant=Path(job.dut).stem,
    )
    data, made = job.read(), Record.load(job.record)
    psums = made.received.reshape(made.run.expected.shape)
    sums = torch.from_numpy(gather(psums, made.run.tiles, len(data.weight_codes)))
    result = json.loads(Path(job.results).read_text())
    shown = None if is_layer_file(job.checkpoint) else load_images().first(job.images)
    lowest = -data.zero if result["act_signed"] else 0
    return LayerRun(data.for_array(result["act_signed"]), lowest, shown, made, sums, result)


def core_figures(model: VGG16, results: dict) -> dict:
    """Returns the rows of `make bench`, and whether they were measured; else they are predicted."""
    measured = "core" in results
    return {"measured": measured, "rows": results["core"] if measured else predicted_cycles(model)}


def predicted_cycles(model: VGG16) -> list[dict]:
    """Returns the rows of `make bench`, one for each layer, as pymodel/hardware predicts them."""
    network = IntegerNetwork(model)
    rows = []
    for stage, codes in zip(network.stages, captured(network, 1), strict=True):
        _, channels, height, width = codes.shape
        settings = {n: value for n, value in stage.settings.items() if n not in ("pool", "pools")}
        images = BATCH.get(stage.name, DEFAULT_BATCH)
        layer = Layer(height, width, channels, images=images, **settings)
        rows.append(
            {
                "layer": stage.name,
                "batch": images,
                "cycles": sum(cycles(job.layer, CORE) for job in jobs_of(layer)),
                "limit_cycles": limit_cycles(layer, CORE),
                "dense_limit_cycles": dense_limit_cycles(layer, CORE),
            }
        )
    return rows


def psum_range(run: LayerRun) -> tuple[int, int]:
    """Returns the smallest and the largest psum of a tile that codes can make."""
    weights = (-run.most_weight, run.most_weight - 1)
    products = [act * weight for act in run.act_range for weight in weights]
    count = run.record.run.tiles.weights.shape[1]
    return count * min(products), count * max(products)


def sum_width(run: LayerRun) -> int:
    """Returns the most bits of a sum over all tiles: the core's, or those that an export allows."""
    return CORE.sum_width if run.images else MOST_SUM_BITS


def psum_figures(run: LayerRun) -> dict[str, int]:
    """Returns the figures about psums that the page shows beside its charts."""
    lowest, highest = psum_range(run)
    found, sums = run.record.received, run.sums.numpy()
    return {
        "products": run.record.run.tiles.weights.shape[1],
        "lowest": lowest,
        "highest": highest,
        "found_lowest": int(found.min()),
        "found_highest": int(found.max()),
        "bits": int(charts.bits(found).max()),
        "width": run.record.widths[2],
        "sum_lowest": int(sums.min()),
        "sum_highest": int(sums.max()),
        "sum_bits": int(charts.bits(sums).max()),
        "sum_width": sum_width(run),
    }


def figures(run: LayerRun, log: list[dict], of_core: dict | None, own: bool) -> dict:
    """Returns the plotly figures of the page by name; `of_core` are those of `core_figures`.

    `own` says whether the array is ours, of which it is known when a PE multiplies.
    """
    data, received = run.data, run.record.received
    difference, steps = (values.numpy().ravel() for values in data.difference(run.sums))
    made = charts.training(log) if log else {}
    if of_core:
        made["cycles"] = charts.layer_cycles(of_core["rows"])
    sizes = run.result["rows"], run.result["cols"]
    made["utilisation"] = (
        charts.utilisation(run.record.cycles, run.result["cycles"], *sizes)
        if own
        else charts.mean_utilisation(
            run.record.cycles, run.result["cycles"], run.result["macs"], *sizes
        )
    )
    made["psums"] = charts.psums(received, *psum_range(run))
    made["widths"] = charts.widths(received, run.sums.numpy(), run.record.widths[2], sum_width(run))
    made |= charts.errors(difference, steps)

    inputs, kernel, outputs = (
        min(MOST_MAPS, data.activation_codes.shape[1]),
        data.weight_codes.shape[2:],
        min(MOST_MAPS, data.reference.shape[1]),
    )
    recovered = data.recover(run.sums)[:, :outputs]
    made["input"] = charts.maps(
        [str(channel) for channel in range(inputs)], 3, "code", *run.act_range, "row", "column"
    )
    made["weights"] = charts.maps(
        [f"({y}, {x})" for y in range(kernel[0]) for x in range(kernel[1])],
        kernel[1],
        "code",
        -run.most_weight,
        run.most_weight,
        "input channel",
        "output channel",
    )
    made["output"] = charts.maps(
        [str(channel) for channel in range(outputs)],
        3,
        "value",
        min(recovered.min().item(), 0.0),
        recovered.max().item() or 1.0,
        "row",
        "column",
    )
    return made


def pictures(run: LayerRun) -> dict:
    """Returns the values of the heatmaps, as lists, of at most MOST_MAPS channels of each kind.

    `weights` are codes, int [k · k, inputs, outputs]. `images` has for each image its `name`, its
    `png` as a data URI, and the maps `input`, int codes [inputs, H, W], and `output`, float
    [outputs, H', W'].
    """
    data = run.data
    weights = data.weight_codes[:MOST_MAPS, :MOST_MAPS].permute(2, 3, 1, 0).flatten(0, 1)
    recovered = data.recover(run.sums)[:, :MOST_MAPS]
    codes = data.activation_codes
    if images := run.images:
        names = [
            f"{CLASS_NAMES[label]}, test image {index}"
            for label, index in zip(images.labels.tolist(), images.indices.tolist(), strict=True)
        ]
        drawn = images.images
    else:
        names = [f"input {number}, the mean of its channels" for number in range(len(codes))]
        mean = (codes - run.act_range[0]).float().mean(1, keepdim=True)
        drawn = (mean * 255 / (2**data.activation_bits - 1)).byte().expand(-1, 3, -1, -1)
    return {
        "weights": weights.tolist(),
        "images": [
            {
                "name": name,
                "png": png(image),
                "input": channels.tolist(),
                "output": [[[float(f"{v:.4g}") for v in line] for line in m] for m in maps],
            }
            for name, image, channels, maps in zip(
                names, drawn, codes[:, :MOST_MAPS], recovered.tolist(), strict=True
            )
        ],
    }


def png(image: Tensor) -> str:
    """Returns a uint8 image [3, H, W] as a data URI."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def layer_words(run: LayerRun, file: str) -> dict[str, str]:
    """Returns the layer's name and shape, and what its outputs are compared with, in words.

    `file` is that of an exported layer.
    """
    weights = run.data.weight_codes
    height, width = run.data.activation_codes.shape[2:]
    inputs, outputs = run.data.activation_codes.shape[1], run.data.reference.shape[1]
    return {
        "name": run.data.name,
        "network": "a 4-bit VGG16" if run.images else file,
        "inputs_of": "of the CIFAR-10 test set" if run.images else "of that file",
        "bits": str(run.data.activation_bits),
        "shape": f"{inputs} → {outputs} channels, "
        f"{weights.shape[2]} × {weights.shape[3]}, maps of {height} × {width}",
        "inputs": channels(inputs),
        "outputs": channels(outputs),
        "reference": run.data.reference_name,
    }


def channels(count: int) -> str:
    """Returns which of a map's channels are shown, in words."""
    return f"all {count} channels" if count <= MOST_MAPS else f"{MOST_MAPS} of {count} channels"


def accuracies(own: float, results: dict) -> list[dict]:
    """Returns each accuracy that is known and its source: first the checkpoint's, `own`."""
    rows = [
        {
            "what": "network, fake-quantised",
            "share": own,
            "images": 10_000,
            "source": "the checkpoint's metadata",
        }
    ]
    for name, key, what in (
        ("evaluate", "accuracy_integer_layer", "squeezed layer on integers"),
        ("accuracy", "accuracy_rtl", "squeezed layer on the RTL core"),
        ("network", "accuracy_rtl", "all quantised layers on the RTL core"),
    ):
        if name in results:
            found = results[name]
            rows.append(
                {
                    "what": what,
                    "share": found[key],
                    "images": found["images"],
                    "source": f"make {name}",
                }
            )
    return rows


def own_row(run: LayerRun, written: str) -> Row:
    """Returns the first row of the verification table: the run that this page shows."""
    result = run.result
    return Row(
        "The layer of this page on the array, every psum",
        f"{result['psum_mismatches']:,} of {result['psums_checked']:,} psums differ, "
        f"{result['images']} images, {result['simulator']}",
        "wrong" if result["psum_mismatches"] else "right",
        "make report",
        written,
    )


def render(**values: object) -> str:
    """Returns the page as HTML."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda number: f"{number:,}".replace("-", "−")
    page = environment.get_template("report.html")
    return page.render(plotly=Markup(get_plotlyjs()), **values)


def result_table(run: LayerRun, recording: Recording, verification: list[Row], size: int) -> str:
    """Returns the closing table as text."""
    missing = [row.command for row in verification if row.state == "missing"]
    rows = [
        ["simulator", run.result["simulator"]],
        ["array", run.result["array"]],
        ["layer", run.data.name],
        ["images", run.result["images"]],
        [f"{run.result['shows']}s checked", f"{run.result['psums_checked']:,}"],
        [f"{run.result['shows']} mismatches", f"{run.result['psum_mismatches']:,}"],
        ["recorded", f"image {recording.image}, {len(recording):,} cycles"],
        ["results found", f"{len(verification) - 1 - len(missing)}"],
        ["not run yet", ", ".join(dict.fromkeys(missing)) or "none"],
        ["size of the page", f"{size / 2**20:.1f} MiB"],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"
