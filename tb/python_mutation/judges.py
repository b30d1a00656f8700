"""Lists the modules that decide whether an array is right, each with the tests that judge it."""

from dataclasses import dataclass
from pathlib import Path

from pymodel.support.files import ROOT


@dataclass(frozen=True)
class Judge:
    """A module whose faults could make a wrong array pass, or a right one fail."""

    module: str
    tests: tuple[str, ...]  # arguments of pytest, the fastest first; each fault stops at the first

    @property
    def path(self) -> Path:
        """Returns the module's source."""
        return ROOT / f"{self.module.replace('.', '/')}.py"


REFERENCE = "pymodel/reference"
HARDWARE = "pymodel/hardware"
LAYER = ("tb/run/tests/test_layer.py", "tb/run/tests/test_must_fail.py")
ARRAY = ("tb/run/tests/test_check.py", "tb/run/tests/test_bad_adapter.py")
CORE = ("tb/test_core_layers.py", "tb/run/tests/test_network.py", "tb/run/tests/test_accuracy.py")

JUDGES = (
    Judge("pymodel.reference.integer_convolution", (REFERENCE, HARDWARE, *LAYER)),
    Judge("pymodel.convolution", ("pymodel/tests/test_convolution.py", REFERENCE, HARDWARE)),
    Judge("pymodel.reference.numpy_convolution", (REFERENCE,)),
    Judge("pymodel.reference.layer_data", (REFERENCE, "pymodel/tests", *LAYER)),
    Judge("pymodel.reference.integer_network", (REFERENCE, "tb/run/tests/test_network.py")),
    Judge("pymodel.reference.batchnorm_folding", (REFERENCE, "pymodel/tests")),
    Judge("pymodel.hardware.tiling", (HARDWARE, *LAYER)),
    Judge("pymodel.hardware.core", (HARDWARE, "tb/test_geometry.py", *CORE)),
    Judge("pymodel.hardware.cycles", (HARDWARE, *CORE)),
    Judge("pymodel.hardware.output_thresholds", (HARDWARE, REFERENCE, *CORE)),
    Judge(
        "pymodel.hardware.output_scaling", (f"{HARDWARE}/tests/test_output_scaling.py", HARDWARE)
    ),
    Judge("pymodel.hardware.core_jobs", (f"{HARDWARE}/tests/test_core_jobs.py", HARDWARE)),
    Judge("pymodel.layer_capture", ("pymodel/tests/test_layer_capture.py", REFERENCE, *LAYER)),
    Judge("tb.components.scoreboard", ("tb/components", *LAYER, *ARRAY)),
    Judge("tb.components.tile_run", ("tb/components", "tb/run/tests/test_likely_cause.py", *LAYER)),
    Judge("tb.components.trained_tiles", ("tb/components", *LAYER)),
    Judge("tb.components.packing", ("tb/components", "tb/test_skew.py", *LAYER)),
    Judge("tb.components.array_schedule", ("tb/components", "tb/test_systolic_array.py", *LAYER)),
    Judge("tb.components.array_adapter", ("tb/components", *ARRAY, *LAYER)),
    Judge(
        "tb.components.dataflow_adapters", ("tb/components", "tb/examples/tests/test_dataflows.py")
    ),
    Judge("tb.components.core_results", ("tb/components", *CORE)),
    Judge("tb.components.axi_monitor", ("tb/components", "tb/test_core.py", *CORE)),
    Judge("tb.run.mismatch_screen", ("tb/run/tests/test_mismatch_screen.py", *LAYER)),
)
