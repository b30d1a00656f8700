"""Measures the core on every quantised layer of the network, under Verilator, results checked.

python -m tb.bench                   # table, build/results/core.json
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from pymodel import registers
from pymodel.capture import find_next
from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.core import (
    Core,
    Layer,
    act_vectors,
    result_vectors,
    split,
    threshold_vectors,
    weight_vectors,
    words,
)
from pymodel.cycles import cycles, dense_limit_cycles, limit_cycles
from pymodel.errors import InputError, run_command
from pymodel.files import RESULTS, ROOT, replacing
from pymodel.images import load_images, normalise
from pymodel.quantiser import quantised_layers
from pymodel.reference import integer_convolution
from pymodel.registers import Mode
from pymodel.requantise import fold, requantise, thresholds
from tb.packing import pack
from tb.scoreboard import BenchError
from tb.simulator import BUILD, RTL, VERILATOR_ROOT, check_simulator, check_sources

CORE = Core()
HOST = ROOT / "tb" / "core_host.v"
# Images of each run, enough that a tile has COLS pixels where the map is 2 × 2.
BATCH = {"features.27": 32, "features.33": 8, "features.36": 8, "features.39": 8}
DEFAULT_BATCH = 4
STREAMS = ("act", "weight", "threshold", "result")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tb.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--results", type=Path, default=RESULTS / "core.json", help="JSON to write")
    arguments = parser.parse_args()
    check_simulator("verilator")
    model, _ = load_checkpoint(arguments.model)
    binary = build()

    names = list(quantised_layers(model))
    squeezed = min(names, key=lambda name: quantised_layers(model)[name].weight.numel())
    runs = [(squeezed, 1, 1), (squeezed, BATCH.get(squeezed, 32), 1)]
    runs += [(squeezed, 2 * BATCH.get(squeezed, 32), 2)]
    runs += [(n, BATCH.get(n, DEFAULT_BATCH), 1) for n in names if n != squeezed]
    inputs = captured(model, max(batch for _, batch, _ in runs))
    rows = []
    try:
        for name, batch, parts in tqdm(runs, unit="layer", disable=None):
            rows.append(
                measure(binary, model, name, {n: c[:batch] for n, c in inputs.items()}, parts)
            )
    except BenchError as error:
        print(f"FAILED: {error}")
        return 1
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(rows, indent=2) + "\n")
    print(report(rows))
    if missed := misses(rows):
        print("\n".join(f"FAILED: {line}" for line in missed))
        return 1
    print(f"Every result equals PyTorch's. Results: {os.path.relpath(arguments.results)}")
    return 0


def build() -> Path:
    """The core in its Verilog host, compiled by Verilator; kept until a source changes."""
    sources = [*check_sources(RTL), HOST]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = BUILD / f"core_host-verilator-{digest[:10]}"
    binary = folder / "Vcore_host"
    if not binary.exists():
        print("Compiling the core for Verilator (about a minute)")
        BUILD.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=BUILD))
        command = [
            VERILATOR_ROOT / "bin" / "verilator_bin", "--binary", "--timing", "-O3", "-Wno-fatal",
            "-Wno-lint", "-Wno-style", "-j", "2", "--top-module", "core_host", "--Mdir", building,
            "-CFLAGS", "-std=c++20 -O2", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include",
            *sources,
        ]  # fmt: skip
        environment = os.environ | {"VERILATOR_ROOT": str(VERILATOR_ROOT)}
        done = subprocess.run(
            [str(word) for word in command], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            shutil.rmtree(building)
            raise InputError(f"Verilator cannot compile the core: {done.stderr.strip()[:300]}")
        # Another run may have been faster; its build is as good.
        folder.mkdir(exist_ok=True)
        (building / binary.name).replace(binary)
        shutil.rmtree(building)
    return binary


@torch.no_grad()
def captured(model: torch.nn.Module, images: int) -> dict[str, torch.Tensor]:
    """Activation codes int8 [N, C_in, H, W] of every quantised layer, from one pass."""
    inputs: dict[str, torch.Tensor] = {}

    def keep(name: str):
        return lambda layer, seen: inputs.__setitem__(name, layer.activation_codes(seen[0]))

    hooks = [
        layer.register_forward_pre_hook(keep(name))
        for name, layer in quantised_layers(model).items()
    ]
    model.eval()(normalise(load_images().first(images).images))
    for hook in hooks:
        hook.remove()
    return inputs


def measure(
    binary: Path, model: torch.nn.Module, name: str, inputs: dict[str, torch.Tensor], parts: int
) -> dict:
    """Run a layer on its codes as `parts` batches, each split into jobs that fit; one row.

    `inputs`: the codes that each layer gets in the fake-quantised network, as of `captured`.
    """
    codes = inputs[name]
    layers = quantised_layers(model)
    weights = layers[name].weight_codes()
    last = name == list(layers)[-1]  # its output is quantised no more
    stride, padding = layers[name].stride[0], layers[name].padding[0]
    sums = integer_convolution(codes, weights, stride, padding)
    if last:
        table, mode, expected = None, Mode.RELU, sums.relu().numpy()
        compared, differing = 0, 0
    else:
        next_name, between = find_next(model, name)
        scale = layers[next_name].activation_quantiser.scale.item()
        table = thresholds(*fold(layers[name], between), scale)
        mode, expected = Mode.CODES, requantise(sums, table).numpy()
        compared, differing = differing_codes(expected, between, inputs[next_name])
    batch = len(codes) // parts
    layer = Layer(
        *codes.shape[2:], *weights.shape[1::-1], weights.shape[2], stride, padding, batch, mode
    )
    jobs = [
        (number, slice(part.start + number * batch, part.stop + number * batch), channels, job)
        for number in range(parts)
        for part, channels, job in split(layer, CORE)
    ]
    with tempfile.TemporaryDirectory() as folder:
        beats = write_files(Path(folder), jobs, codes.numpy(), weights.numpy(), table, expected)
        done = subprocess.run([binary], cwd=folder, capture_output=True, text=True, timeout=3600)
    found = re.search(
        r"jobs (\d+) beats (\d+) mismatches (\d+) cycles (\d+) counted (\d+) stalls (\d+)",
        done.stdout,
    )
    if not found or int(found[3]) or int(found[2]) != beats["result"] or int(found[1]) != len(jobs):
        raise BenchError(f"{name}: the core is wrong: {done.stdout.strip()[:300]}")
    total, counted, stalls = int(found[4]), int(found[5]), int(found[6])
    model_cycles = sum(cycles(job, CORE) for *_, job in jobs)
    if counted - stalls != model_cycles:
        raise BenchError(f"{name}: {counted} cycles, {stalls} stalls, the model: {model_cycles}")
    macs = parts * layer.macs()
    result_width = CORE.sum_width if last else 4
    return {
        "layer": name,
        "batch": len(codes),
        "jobs": len(jobs),
        "cycles": total,
        "macs": macs,
        "utilisation": macs / (CORE.rows * CORE.cols * total),
        "dense_limit_cycles": parts * dense_limit_cycles(layer, CORE),
        "limit_cycles": parts * limit_cycles(layer, CORE),
        "model_cycles": model_cycles,
        "codes": compared,
        "codes_differing": differing,
        "stalls": stalls,
        "act_bits_per_cycle": beats["act"] * 4 * CORE.rows / total,
        "weight_bits_per_cycle": beats["weight"] * 4 * CORE.rows / total,
        "threshold_bits_per_cycle": beats["threshold"] * CORE.sum_width * CORE.cols / total,
        "result_bits_per_cycle": beats["result"] * result_width * CORE.cols / total,
        "result_beat_bits": result_width * CORE.cols,
        "act_memory_bits": max(words(job, CORE).acts for *_, job in jobs) * 4 * CORE.rows,
        "weight_memory_bits": max(words(job, CORE).weights for *_, job in jobs) * 4 * CORE.rows,
    }


def differing_codes(
    codes: np.ndarray, between: torch.nn.Module, fake: torch.Tensor
) -> tuple[int, int]:
    """How many codes the next layer gets, and how many are not the fake-quantised network's."""
    pooled = torch.from_numpy(codes).float()
    for module in between:
        if isinstance(module, torch.nn.MaxPool2d):
            pooled = module(pooled)
    return fake.numel(), int((pooled != fake).sum())


def write_files(folder: Path, jobs, codes, weights, table, expected) -> dict[str, int]:
    """The host's files; beats of each stream. A packet that the next job shares is sent once."""
    lines: dict[str, list[str]] = {name: [] for name in STREAMS}
    commands = []
    before: tuple = (None, None, None, None)
    for present, following in itertools.zip_longest(jobs, jobs[1:], fillvalue=before):
        number, images, channels, job = present
        keep_acts = following[1] == images
        keep_weights = following[0] == number and following[2] == channels
        if images != before[1]:
            packet(lines["act"], act_vectors(codes[images], CORE), 4)
        if (number, channels) != (before[0], before[2]):
            packet(lines["weight"], weight_vectors(weights[channels], CORE), 4)
            if table is not None:
                vectors = threshold_vectors(table[channels], CORE)
                packet(lines["threshold"], vectors, CORE.sum_width)
        width = 4 if job.mode == Mode.CODES else CORE.sum_width
        packet(lines["result"], result_vectors(expected[images, channels], CORE), width)
        inputs, outputs = job.tiles(CORE)
        settings = (
            registers.MAP.pack(height=job.height, width=job.width),
            registers.KERNEL.pack(size=job.kernel, stride=job.stride, padding=job.padding),
            registers.TILES.pack(input=inputs, output=outputs),
            registers.IMAGES.pack(count=job.images),
            registers.OUTPUT.pack(
                mode=job.mode, keep_acts=keep_acts, keep_weights=keep_weights,
                keep_thresholds=keep_weights,
            ),
        )  # fmt: skip
        commands.append(" ".join(f"{word:08x}" for word in settings))
        before = present
    for name, stream in lines.items():
        file = "expected" if name == "result" else name
        (folder / f"{file}.txt").write_text("".join(stream))
    (folder / "jobs.txt").write_text("\n".join(commands) + "\n")
    return {name: len(stream) for name, stream in lines.items()}


def packet(lines: list[str], vectors: np.ndarray, width: int) -> None:
    """Append the beats of a packet."""
    words = [f"{word:x}" for word in pack(vectors, width)]
    lines += [f"{word} 0\n" for word in words[:-1]] + [f"{words[-1]} 1\n"]


def misses(rows: list[dict]) -> list[str]:
    """The limits that are not kept, a line each: those of the squeezed layer and of all others."""
    one, batch, two, *others = rows
    limits = [
        (one, one["cycles"] <= 136, "at most 136 cycles for one image"),
        (batch, batch["utilisation"] >= 1.38, "at least 1.38 of the dense rate"),
        (two, two["cycles"] <= 1.02 * two["limit_cycles"], "two batches lose at most 2 %"),
        *(
            (row, row["limit_cycles"] >= 0.97 * row["cycles"], "at least 0.97 of the taps' limit")
            for row in others
        ),
    ]
    return [
        f"{row['layer']}, {row['batch']} images: {row['cycles']:,} cycles, expected {expected}"
        for row, kept, expected in limits
        if not kept
    ]


def report(rows: list[dict]) -> str:
    """The table."""
    columns = ("layer", "images", "cycles", "of limit", "of dense", "acts", "weights",
               "thresholds", "results", "act mem", "weight mem", "bound by")  # fmt: skip
    lines = []
    for row in rows:
        use = {
            "array": row["limit_cycles"] / row["cycles"],
            "acts": row["act_bits_per_cycle"] / (4 * CORE.rows),
            "weights": row["weight_bits_per_cycle"] / (4 * CORE.rows),
            "thresholds": row["threshold_bits_per_cycle"] / (CORE.sum_width * CORE.cols),
            "results": row["result_bits_per_cycle"] / row["result_beat_bits"],
        }
        streams = [f"{row[f'{name}_bits_per_cycle']:.2f}" for name in STREAMS]
        memories = [f"{row[f'{name}_memory_bits'] / 1024:,.0f} kbit" for name in ("act", "weight")]
        lines.append([
            row["layer"], row["batch"], f"{row['cycles']:,}", f"{use['array']:.1%}",
            f"{row['utilisation']:.2f}", *streams, *memories, max(use, key=use.get),
        ])  # fmt: skip
    largest = {row["layer"]: row for row in sorted(rows, key=lambda row: row["batch"])}.values()
    codes, differing = (sum(row[key] for row in largest) for key in ("codes", "codes_differing"))
    return (
        "\n"
        + tabulate(lines, columns, tablefmt="simple", disable_numparse=True)
        + "\n\nof limit: taps inside the map, one a cycle. of dense: all taps at 64 MACs a cycle."
        + "\nacts, weights, thresholds, results: bits a cycle on their streams. "
        + "mem: bits of a bank in use."
        + f"\n{differing} of {codes:,} codes are not those of the float32 network.\n"
    )


if __name__ == "__main__":
    run_command(main)
