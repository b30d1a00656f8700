"""Runs layers through the core in its host, which looks at nothing but the results."""

import json
from pathlib import Path

import numpy as np

from pymodel.support.files import temporary_folder
from tb.host.compile_host import prepare_host
from tb.sim.errors import BenchError, DesignError
from tb.sim.results_xml import first_failure
from tb.sim.run_bench import RESULTS_XML
from tb.sim.sources import RTL

PROGRAM = "tb.host.cocotb_program"


def simulate(
    simulator: str,
    layers: list[dict],
    codes: np.ndarray,
    weights: list[np.ndarray],
    tables: list[np.ndarray | None],
    rtl: Path = RTL,
) -> tuple[list[np.ndarray], list[dict]]:
    """Runs layers one after another through the core; returns the results and counts of each.

    `layers` holds the fields of `pymodel.hardware.core.Layer` that do not follow from `codes`, and
    `pools`, the number of 2 × 2 max pools before the next layer. codes: [N, C, H, W], the first
    layer's input; weights: [C_out, C_in, k, k] for each layer; tables: thresholds [C_out, 16] or
    None for each layer. The results are int32 [N, C_out, H', W'].

    Raises BenchError if the simulation or a check in it fails; `results` of the error holds the
    results so far. Raises InputError if the sources do not compile.
    """
    simulation = prepare_host(simulator, PROGRAM, rtl)
    with temporary_folder("sweep") as folder:
        write_layers(folder, layers, codes, weights, tables)
        report, said, failure, own = folder / RESULTS_XML, [], None, None
        try:
            simulation.run(folder, said.append, COCOTB_RESULTS_FILE=str(report))
        except DesignError as error:
            own = str(error)
        except BenchError as error:
            failure = str(error)
        if own or not failure or report.exists():
            failure = own or first_failure(report, PROGRAM) or failure
        counts = folder / "counts.json"
        results = []
        for number in range(len(layers)):
            path = folder / f"{number}.npy"
            if path.exists():
                results.append(np.load(path))
        if failure or not counts.exists():
            error = BenchError(failure or f"the simulation ended early: {' '.join(said)[-200:]}")
            error.results = results
            raise error
        return results, json.loads(counts.read_text())


def write_layers(
    folder: Path,
    layers: list[dict],
    codes: np.ndarray,
    weights: list[np.ndarray],
    tables: list[np.ndarray | None],
) -> None:
    """Writes the files that `tb.host.cocotb_program` reads; arguments are those of `simulate`."""
    arrays = {f"weights.{number}": array for number, array in enumerate(weights)}
    arrays |= {f"thresholds.{n}": table for n, table in enumerate(tables) if table is not None}
    np.savez(folder / "program.npz", codes=codes, **arrays)
    (folder / "program.json").write_text(json.dumps(layers))
