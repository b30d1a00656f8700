"""Runs any quantised network with its layers computed by the core; everything else is PyTorch's.

python -m tb.run network --net package.module:factory --state weights.pth --input images.npy

The model runs as it is. Each convolution and linear layer that fits (pymodel/own_network) takes its
integer sums from the core, and every sum is compared with PyTorch's. The outputs are compared with
those of the same model whose sums come from PyTorch, and with those of the model in float32.
"""

import argparse
import functools
import json
import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from distributed import Client
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from pymodel.hardware.core import Core, Layer
from pymodel.hardware.registers import Mode
from pymodel.images import SHIPPED
from pymodel.own_network.export import load_inputs
from pymodel.own_network.exported_program import is_program
from pymodel.own_network.factory import digests_of_modules, without_warnings
from pymodel.own_network.fit import Fit, FitError
from pymodel.own_network.integer_forward import Differences
from pymodel.own_network.networks import Network, load_network
from pymodel.own_network.onnx_file import is_onnx
from pymodel.own_network.state_dict import read_saved
from pymodel.reference.layer_data import LayerData
from pymodel.support.command import conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, temporary_folder
from pymodel.support.result_files import remove_results, write_results
from tb.components.scoreboard import ZEROS
from tb.host.compile_host import prepare_host
from tb.host.simulate import PROGRAM
from tb.run.observe import WAVEFORM, observe
from tb.run.own_network_layers import OnTheCore
from tb.run.sweep import (
    PeakMemory,
    cluster,
    hardware_identity,
    kept_for_nothing,
    libraries,
    seconds_or_kept,
    spread,
    tls_files,
)
from tb.sim.errors import BenchError
from tb.sim.kept_results import code, digest
from tb.sim.result_about import Subject
from training.evaluate import EDGE_STEPS

JUDGED = 16  # inputs on which the layers are judged
SHARD = 8  # inputs that go through the core together
# Keys of a layer's row that are summed over the shards
COUNTS = ("jobs", "cycles", "macs", "sums", "not_zero", "mismatches")
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)  # types of labels
CODE = code("tb.run.own_network", PROGRAM)  # hash of the code that this process has loaded


class Judged(NamedTuple):
    """A network, and its layers as judged on the first of the inputs in a file."""

    network: Network
    found: dict[str, Fit | FitError]
    inputs: int  # number of inputs on which the layers were judged
    loaded: dict[str, str]  # hashes of what this process has loaded and judged

    @property
    def fits(self) -> dict[str, Fit]:
        """Returns the layers that fit, by name."""
        return {name: fit for name, fit in self.found.items() if isinstance(fit, Fit)}


@functools.cache
def judged(net: str, state: str, inputs: str, content: str) -> Judged:
    """Returns a network and its layers as judged; each process makes them once.

    `content` is the hash of all files. Raises InputError as `load_network` and `Network.judge` do.
    """
    torch.set_num_threads(1)
    with without_warnings():
        network = load_network(net, Path(state) if state else None)
        given = load_inputs(Path(inputs), JUDGED)
        found = network.judge(given)
    loaded = {"network": network.digest(), "layers": layers_digest(found)}
    loaded |= {f"module {name}": one for name, one in digests_of_modules().items()}
    return Judged(network, found, len(given), loaded)


def core_for(layers: list[Fit]) -> Core:
    """Returns the build of the core that takes the codes of all layers.

    The default build takes unsigned activations and weights of up to 4 bits. Activations are signed
    where that lets all zero points be 0, without more bits.
    """
    act_width = max(fit.layer.activation_bits for fit in layers)
    weight_width = max(fit.layer.weight_bits for fit in layers)
    half = 2 ** (act_width - 1)
    signed = any(fit.layer.zero for fit in layers) and all(
        fit.layer.zero <= half and 2**fit.layer.activation_bits - fit.layer.zero <= half
        for fit in layers
    )
    if act_width <= 4 and weight_width <= 4 and not signed:
        return Core()
    return Core(
        sum_width=32, act_width=act_width, weight_width=max(2, weight_width), act_signed=int(signed)
    )


def run_shard(
    inputs: np.ndarray,
    net: str,
    state: str,
    judged_on: str,
    content: str,
    loaded: dict[str, str],
    simulator: str,
    rtl: str,
    core: dict[str, int],
) -> dict[str, np.ndarray]:
    """Runs inputs [n, …] through a network on the core; runs in a worker.

    Returns `classes`, int64 [3, n], that follow from the sums of the RTL, from those of PyTorch and
    from float32 (−1 where the output is no row of numbers for each input), and `report`, which is
    JSON; a wrong sum's job comes as `wrong_codes` and `wrong_weights`.
    """
    network, _, judged_inputs, mine = now = judged(net, state, judged_on, content)
    check_loaded(net, loaded, mine)
    fits = now.fits
    given = torch.from_numpy(inputs)
    on_core = OnTheCore(simulator, Path(rtl), Core(**core))
    signed = bool(on_core.core.act_signed)
    began = time.monotonic()
    try:
        with without_warnings():
            of_rtl, trace = network.from_sums(given, fits, on_core.sums, signed)
            seconds = time.monotonic() - began
            of_integers, _ = network.from_sums(given, fits, LayerData.sums, signed)
            of_floats, in_floats = network.as_it_is(given, fits)
            from_same = network.rounded_from(given, fits, trace)
    except FitError as error:
        raise InputError(f"{net} on {list(given.shape)}: {error}") from None
    for name, fit in fits.items():
        each = fit.layer.reference.numel() // judged_inputs
        if (sums := on_core.rows.get(name, {"sums": 0})["sums"]) != each * len(inputs):
            raise InputError(
                f"{net}: layer {name} gave {sums:,} outputs for {len(inputs)} inputs, expected "
                f"{each * len(inputs):,}, as many for each as for those on which it was judged"
            )
    outputs = of_rtl, of_integers, of_floats
    if not of_rtl:
        raise InputError(f"{net}: its output holds no numbers, so nothing can be compared")
    if any(one.isnan().any() for output in outputs for one in output):
        raise InputError(f"{net} on {list(given.shape)}: its output holds NaN, expected numbers")
    in_the_end = Differences()
    for name, values in trace.activations.items():
        in_the_end.count(name, in_floats.activations[name], values, fits[name])
    report = {
        "inputs": len(inputs),
        "seconds": seconds,
        "rows": [row | {"operation": fits[name].kind} for name, row in on_core.rows.items()],
        "same_outputs": all(map(torch.equal, *outputs[:2])),
        "codes": sum(from_same.codes.values()),
        "codes_differing": sum(from_same.differing.values()),
        "codes_differing_in_the_end": sum(in_the_end.differing.values()),
        "rounded_otherwise": from_same.rounded_otherwise,
        "farthest": from_same.farthest,
        "columns": of_rtl[0].shape[1] if (classes(of_rtl, len(inputs)) >= 0).all() else 0,
        "first": on_core.first and {n: on_core.first[n] for n in ("words", "layer")},
    }
    result = {
        "classes": np.stack([classes(one, len(inputs)) for one in outputs]),
        "report": np.array(json.dumps(report)),
    }
    if on_core.first:
        result |= {f"wrong_{n}": on_core.first[n] for n in ("codes", "weights")}
    return result


def check_loaded(net: str, loaded: dict[str, str], mine: dict[str, str]) -> None:
    """Raises InputError if a worker has loaded something else than the command, by its hashes.

    Modules that only one of the two has imported do not count.
    """
    for name, value in loaded.items():
        if mine.get(name, value) != value:
            raise InputError(
                f"{net}: a worker on {platform.node()} has loaded another {name} than the command; "
                "change nothing while the network runs, and restart workers after a change"
            )


def layers_digest(found: dict[str, Fit | FitError]) -> str:
    """Returns a hash of the codes, weights and outputs of the judged layers.

    The hash changes if code of the user changes what these layers get or hold.
    """
    parts = [
        part.numpy().tobytes()
        for fit in found.values()
        if isinstance(fit, Fit)
        for part in (fit.layer.activation_codes, fit.layer.weight_codes, fit.layer.reference)
    ]
    return digest(b"".join(parts))


def classes(outputs: list[Tensor], count: int) -> np.ndarray:
    """Returns the class of each input, int64 [count]: the index of its largest output.

    All classes are −1 if the first output does not have a row of several numbers for each input.
    """
    first = outputs[0] if outputs else None
    if first is None or first.ndim != 2 or len(first) != count or len(first.T) < 2:
        return np.full(count, -1)
    return first.argmax(1).numpy()


def run_own_network(arguments: argparse.Namespace, count: int | None) -> int:
    """Runs the network that the arguments name; returns the exit code.

    `count` is the number of inputs, None for all in the file. Raises InputError for a mistake of
    the user.
    """
    file = is_onnx(arguments.net) or is_program(arguments.net)
    if file == bool(arguments.state):
        wanted = "none" if arguments.state else "STATE=file"
        raise InputError(
            f"{arguments.net}: {arguments.state or 'no state dict'} is named, expected {wanted}"
        )
    source = arguments.input or SHIPPED
    inputs = load_inputs(source, None)
    labels = labels_of(source, len(inputs))
    if count is not None:
        if count > len(inputs):
            raise InputError(f"{source}: holds {len(inputs)} inputs, expected IMAGES, {count}")
        inputs, labels = inputs[:count], None if labels is None else labels[:count]
    files = [Path(one) for one in (arguments.net, arguments.state or "", source)]
    content = digest(b"".join(one.read_bytes() for one in files if one.is_file()))
    given = (arguments.net, str(arguments.state or ""), str(source), content)
    now = judged(*given)
    found, fits = now.found, now.fits
    tell(*(f"{name} stays in PyTorch: {fit}" for name, fit in found.items() if name not in fits))
    if not fits:
        raise InputError(f"{arguments.net}: no layer fits, expected at least one")
    core = core_for(list(fits.values()))
    prepare_host(arguments.sim, rtl=arguments.rtl, core=core)
    subject = Subject("tb.run.own_network", rtl=arguments.rtl, simulator=arguments.sim)
    settings = dict(zip(("net", "state", "judged_on", "content"), given, strict=True)) | {
        "loaded": now.loaded,
        "simulator": arguments.sim,
        "rtl": str(arguments.rtl.absolute()),
        "core": vars(core),
    }
    fixed = (
        settings
        | {"code": CODE, "libraries": libraries()}
        | hardware_identity(arguments.sim, arguments.rtl)
    )
    fixed |= kept_for_nothing(arguments.sim, arguments.rtl)
    try:
        with (
            PeakMemory() as memory,
            cluster(arguments.scheduler, arguments.workers, tls_files(arguments)) as client,
        ):
            result = collected(client, inputs, labels, settings, fixed, arguments.fresh)
    except BenchError as error:
        remove_results(arguments.results)  # results of an earlier run
        return conclude(f"FAILED: {error}", passed=False)
    wrong = result.pop("wrong")
    result = {"simulator": arguments.sim, "network": arguments.net} | result
    result |= {"layers_in_pytorch": len(found) - len(fits), "memory_mib": memory.mib}
    lines = [f"FAILED: {line}" for line in misses(result)] + wrong
    write_results(arguments.results, result, passed=not lines, about=subject.unchanged())
    tell(layer_table(result["rows"]), result_table(result))
    tell(*(f"{row['layer']}: {ZEROS}" for row in result["rows"] if not row["not_zero"]))
    if lines:
        return conclude("\n".join(lines), passed=False)
    where = os.path.relpath(arguments.results)
    return conclude(f"Every sum equals PyTorch's. Results: {where}")


def collected(
    client: Client, inputs: Tensor, labels: Tensor | None, settings: dict, fixed: dict, fresh: bool
) -> dict[str, Any]:
    """Runs all shards; returns the keys of own_network.json, and `wrong`, lines on a wrong sum."""
    began = time.monotonic()
    parts = spread(client, run_shard, inputs.numpy(), SHARD, settings, fixed, fresh)
    reports, found, kept = {}, {}, 0
    with tqdm(total=len(inputs), unit="input", desc="core", disable=quiet() or None) as bar:
        for start, result, was_kept in parts:
            reports[start] = json.loads(str(result["report"]))
            found[start] = result
            kept += was_kept
            bar.update(reports[start]["inputs"])
    elapsed = time.monotonic() - began
    ordered = [reports[start] for start in sorted(reports)]
    rows = joined([report["rows"] for report in ordered], Core(**settings["core"]))
    of_rtl, of_integers, of_floats = np.concatenate(
        [found[start]["classes"] for start in sorted(found)], 1
    )
    columns = min(report["columns"] for report in ordered)
    if labels is not None and columns and (largest := int(labels.max())) >= columns:
        raise InputError(f"a label is {largest}, expected 0 to {columns - 1}, as there are classes")
    wrong = next(
        (
            [report["first"]["words"], again(report["first"]["layer"], found[start], settings)]
            for start, report in sorted(reports.items())
            if report["first"]
        ),
        [],
    )
    total = {
        key: sum(report[key] for report in ordered)
        for key in ("codes", "codes_differing", "codes_differing_in_the_end", "rounded_otherwise")
    }
    return {
        "inputs": len(inputs),
        "layers": len(rows),
        "core": settings["core"],
        "sums_checked": sum(row["sums"] for row in rows),
        "sum_mismatches": sum(row["mismatches"] for row in rows),
        "sums_not_zero": sum(row["not_zero"] for row in rows),
        "outputs_equal": all(report["same_outputs"] for report in ordered),
        "predictions": int((of_rtl >= 0).sum()),
        "predictions_differing": int((of_rtl != of_integers).sum()),
        "fake_predictions_differing": int((of_rtl != of_floats).sum()),
        "accuracy_rtl": accuracy(of_rtl, labels),
        "accuracy_fake_quantised": accuracy(of_floats, labels),
        "fake_codes": total["codes"],
        "fake_codes_differing": total["codes_differing"],
        "fake_codes_differing_in_the_end": total["codes_differing_in_the_end"],
        "fake_roundings_differing": total["rounded_otherwise"],
        "farthest_from_an_edge": max(report["farthest"] for report in ordered),
        "cycles": sum(row["cycles"] for row in rows),
        "seconds": None if kept else elapsed,
        "shards": len(ordered),
        "shards_kept": kept,
        "rows": rows,
        "wrong": wrong,
    }


def accuracy(found: np.ndarray, labels: Tensor | None) -> float | None:
    """Returns the share of classes that are the labels; None without labels or classes."""
    if labels is None or (found < 0).any():
        return None
    return float((found == labels.numpy()).mean())


def labels_of(path: Path, count: int) -> Tensor | None:
    """Returns the labels of the `count` inputs in a file, int64 [count], or None.

    They are a tensor named `labels` beside the inputs. Raises InputError if they are not one whole
    number, 0 or more, for each input.
    """
    if path.suffix == ".npy":
        return None
    labels = read_saved(path).get("labels")
    if labels is None:
        return None
    found = f"{labels.dtype} {list(labels.shape)}" if isinstance(labels, Tensor) else "no tensor"
    if not isinstance(labels, Tensor) or labels.dtype not in WHOLE or labels.shape != (count,):
        raise InputError(
            f"{path}: labels are {found}, expected a whole number for each of {count} inputs"
        )
    if (least := int(labels.min())) < 0:
        raise InputError(f"{path}: a label is {least}, expected 0 or more")
    return labels.long()


def joined(reports: list[list[dict]], core: Core) -> list[dict]:
    """Returns a row for each layer, of its rows in all shards."""
    rows: dict[str, dict] = {}
    for row in (row for report in reports for row in report):
        known = rows.setdefault(row["layer"], row | dict.fromkeys(COUNTS, 0))
        known |= {key: known[key] + row[key] for key in COUNTS}
    return [
        row | {"utilisation": row["macs"] / (core.rows * core.cols * row["cycles"])}
        for row in rows.values()
    ]


def again(layer: dict, found: dict[str, np.ndarray], settings: dict) -> str:
    """Runs the job of a wrong sum again, fully observed; returns the findings in one line."""
    layer = Layer(**layer | {"mode": Mode(layer["mode"])})
    core = Core(**settings["core"])
    tell(f"Running that job again, fully observed, on Icarus: {layer}")
    with temporary_folder("observe") as folder:
        message = observe(
            folder,
            layer,
            found["wrong_codes"],
            found["wrong_weights"],
            None,
            Path(settings["rtl"]),
            core,
        )
    if message:
        return f"again: {message}; waveform: {WAVEFORM.relative_to(ROOT)}"
    return "again: the job is right when it runs alone, so the fault needs the jobs before it"


def misses(result: dict) -> list[str]:
    """Returns a line for each requirement that the results miss."""
    far = result["farthest_from_an_edge"]
    return [
        line
        for wrong, line in (
            (not result["sums_checked"], "nothing was checked"),
            (result["sums_checked"] and not result["sums_not_zero"], ZEROS),
            (result["sum_mismatches"], "sums are not those of PyTorch's integer convolution"),
            (
                not result["outputs_equal"],
                "the outputs are not, bit for bit, those of the model with PyTorch's integer sums",
            ),
            (result["predictions_differing"], "the RTL predicts other classes than PyTorch's sums"),
            (
                not far <= EDGE_STEPS,
                f"a code that differs lies {far:.1e} step from an edge, expected at most "
                f"{EDGE_STEPS:.1e}: rounding does not explain it",
            ),
        )
        if wrong
    ]


def layer_table(rows: list[dict]) -> str:
    """Returns the rows of the layers as a text table."""
    cells = [
        [
            row["layer"],
            row["operation"],
            f"{row['weight_bits']}, {row['activation_bits']}",
            row["lowering"] or "as it is",
            f"{row['jobs']:,}",
            f"{row['cycles']:,}",
            f"{row['utilisation']:.2f}",
            f"{row['sums']:,}",
            row["mismatches"],
        ]
        for row in rows
    ]
    headers = ["layer", "operation", "bits", "lowering", "jobs", "cycles", "of dense"]
    headers += ["checked", "wrong"]
    return "\n" + tabulate(cells, headers, tablefmt="simple", disable_numparse=True)


def result_table(result: dict) -> str:
    """Returns the closing table of a run's results (the keys of own_network.json)."""
    rows = [
        ["simulator", result["simulator"]],
        ["inputs through the core", f"{result['inputs']:,}"],
        ["layers on the core", result["layers"]],
        ["layers in PyTorch", result["layers_in_pytorch"]],
        ["sums checked", f"{result['sums_checked']:,}"],
        ["sum mismatches", result["sum_mismatches"]],
        ["outputs equal those of PyTorch's sums", "yes" if result["outputs_equal"] else "no"],
        ["predictions", f"{result['predictions']:,}"],
        ["predictions that differ from those of PyTorch's sums", result["predictions_differing"]],
        ["predictions that differ from the model's", result["fake_predictions_differing"]],
        *(
            [words, f"{result[key]:.2%}"]
            for words, key in (
                ("accuracy of the RTL", "accuracy_rtl"),
                ("accuracy of the model", "accuracy_fake_quantised"),
            )
            if result[key] is not None
        ),
        ["codes compared", f"{result['fake_codes']:,}"],
        ["codes that differ, from the same input", f"{result['fake_codes_differing']:,}"],
        ["largest distance of these from an edge", f"{result['farthest_from_an_edge']:.1e} step"],
        [
            "codes that differ, each network from its own input",
            f"{result['fake_codes_differing_in_the_end']:,}",
        ],
        ["cycles", f"{result['cycles']:,}"],
        ["seconds of simulation", seconds_or_kept(result["seconds"], result["shards_kept"])],
        ["most memory, all processes", f"{result['memory_mib']:,.0f} MiB"],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"
