"""The trained network's layers run through the core with real weights and activations, exactly."""

import json
import os
from pathlib import Path

import cocotb
import pytest
import torch
from torch import nn

from pymodel.checkpoint import load_checkpoint
from pymodel.hardware.core import Layer
from pymodel.hardware.output_thresholds import thresholds
from pymodel.hardware.registers import Mode
from pymodel.images import load_images, normalise
from pymodel.layer_capture import capture, find_layer
from pymodel.lsq_quantiser import quantised_layers
from pymodel.reference.batchnorm_folding import fold
from pymodel.reference.layer_data import MAX_ABS_ERROR, layer_data
from tb.components.axi_driver import CoreDriver, check_layer, started
from tb.components.trained_tiles import compare_recovered
from tb.modules.module_table import SIMULATORS, TRAINED_LAYER, TRAINED_REPORT
from tb.modules.pytest_runs import first_few
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench


@cocotb.test()
async def trained_layer(dut):
    """A layer runs whole (sums, then codes) or as one tile (sums after ReLU), and is exact.

    The next layer's captured input is recovered from the sums of a whole layer.
    """
    job = json.loads(os.environ[TRAINED_LAYER])
    torch.set_num_threads(1)
    model, _ = load_checkpoint()
    images = load_images().first(job["images"]).images
    bench = await started(dut)
    counted = await (whole if job["whole"] else tile)(bench, model, images, job["name"])
    Path(os.environ[TRAINED_REPORT]).write_text(json.dumps(counted))


async def whole(bench: CoreDriver, model: nn.Module, images: torch.Tensor, name: str) -> dict:
    """Checks every sum and every code of a layer; returns the counts.

    Codes that differ from those of the float network are counted.
    """
    seen = capture(model, images, name)
    data = layer_data(seen)
    codes, weights = data.activation_codes, data.weight_codes
    following = quantised_layers(model)[seen.next_name]
    table = thresholds(*fold(seen.layer, seen.between), following.activation_quantiser.scale.item())
    layer = shape(codes, weights, Mode.SUMS)
    sums = torch.from_numpy(await check_layer(bench, layer, (codes.numpy(), weights.numpy(), None)))
    assert data.recover(sums).count_nonzero(), "all zeros prove nothing"
    compare_recovered(data, sums)

    layer = shape(codes, weights, Mode.CODES)
    sent = await check_layer(bench, layer, (codes.numpy(), weights.numpy(), table))
    pooled = torch.from_numpy(sent).float()
    for module in seen.between:
        if isinstance(module, nn.MaxPool2d):
            pooled = module(pooled)
    fake = following.activation_codes(seen.next_input)
    differing = torch.argwhere(pooled != fake).tolist()
    # Float32 rounding moves only few values across a step.
    if len(differing) > fake.numel() / 1000:
        image, channel, y, x = differing[0]
        raise BenchError(
            f"{len(differing)} of {fake.numel()} codes are not those of {seen.next_name}, the "
            f"first at image {image}, channel {channel}, pixel ({y}, {x}), expected at most one in "
            "1000 to differ"
        )
    return {"sums": sums.numel(), "error": data.error(sums)[0], "codes": fake.numel()}


async def tile(bench: CoreDriver, model: nn.Module, images: torch.Tensor, name: str) -> dict:
    """Checks the last input tile and the last output tile of a layer; returns the counts."""
    convolution = find_layer(model, name)
    seen = []
    hook = convolution.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.eval()(normalise(images))
    hook.remove()
    codes = convolution.activation_codes(seen[0])[:, -bench.core.rows :]
    weights = convolution.weight_codes()[-bench.core.cols :, -bench.core.rows :]
    layer = shape(codes, weights, Mode.RELU)
    sums = await check_layer(bench, layer, (codes.numpy(), weights.numpy(), None))
    assert sums.any(), "all zeros prove nothing"
    return {"sums": sums.size}


def shape(codes: torch.Tensor, weights: torch.Tensor, mode: Mode) -> Layer:
    """Returns the layer of codes [N, C_in, H, W] and weights [C_out, C_in, 3, 3], padded by 1."""
    return Layer(*codes.shape[2:], *weights.shape[1::-1], images=len(codes), mode=mode)


# Layers that run whole, in modes SUMS and CODES, with their number of images. Of the other layers
# one tile runs on one image, in mode RELU.
WHOLE = {"features.24": 1, "features.27": 3, "features.29": 1}
TILES = [
    "features.3",
    "features.7",
    "features.10",
    "features.14",
    "features.17",
    "features.20",
    "features.33",
    "features.36",
    "features.39",
]


@pytest.mark.parametrize(
    "name", first_few(["features.27", *sorted({*WHOLE, *TILES} - {"features.27"})], 1)
)
def test_trained_layer(name, tmp_path):
    run_trained_layer(name, SIMULATORS[0], tmp_path)


@pytest.mark.verify
def test_squeezed_layer_on_the_other_simulator(tmp_path):
    other = {"icarus": "verilator", "verilator": "icarus"}[SIMULATORS[0]]
    run_trained_layer("features.27", other, tmp_path)


def run_trained_layer(name: str, simulator: str, tmp_path) -> None:
    """Runs the bench on a layer, and checks that it compared sums, and codes of a whole layer."""
    job = {"name": name, "whole": name in WHOLE, "images": WHOLE.get(name, 1)}
    report = tmp_path / "report.json"
    run_bench(
        "tb.test_core_layers",
        "core",
        simulator=simulator,
        variant=name,
        settings={TRAINED_LAYER: json.dumps(job), TRAINED_REPORT: str(report)},
    )
    counted = json.loads(report.read_text())
    assert counted["sums"] > 0
    if name in WHOLE:
        assert counted["codes"] > 0
        assert counted["error"] < MAX_ABS_ERROR


def test_every_quantised_layer_has_its_test(shipped):
    assert sorted([*WHOLE, *TILES]) == sorted(quantised_layers(shipped))
