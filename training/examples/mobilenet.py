"""Quantises a small MobileNet (Sandler et al., 2018) to 8 bits by PT2E, and saves its program.

python -m training.examples.mobilenet --output mobilenet.pt2

The network has depthwise convolutions, and bottlenecks whose activations are signed. PT2E is a part
of torchao.
"""

import argparse
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pymodel.images import load_images, normalise
from pymodel.own_network.factory import without_warnings
from pymodel.support.command import CommandParser, conclude, run_command
from pymodel.support.files import replacing
from training.examples.few_steps import train

CALIBRATION = 16  # images


class Inverted(nn.Module):
    """An inverted residual block (section 3.3): widens, filters each channel, and narrows."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1, widening: int = 4):
        super().__init__()
        wide = widening * in_channels
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),  # linear: the bottleneck has no ReLU
        )
        self.adds = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Returns float [N, channels, H', W'] for float [N, in_channels, H, W]."""
        return x + self.block(x) if self.adds else self.block(x)


def mobilenet() -> nn.Module:
    """Returns the network in float32, for images [N, 3, 32, 32]."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Inverted(8, 8),
        Inverted(8, 12, stride=2),
        Inverted(12, 12),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


def quantised(model: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """Returns the program of a model whose layers are quantised to 8 bits, calibrated by images."""
    from torchao.quantization.pt2e import quantize_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    batch = {0: torch.export.Dim.AUTO}
    quantiser = x86.X86InductorQuantizer()
    quantiser.set_global(x86.get_default_x86_inductor_quantization_config())
    program = torch.export.export(model.eval(), (images,), dynamic_shapes=(batch,))
    prepared = quantize_pt2e.prepare_pt2e(program.module(), quantiser)
    prepared(images)
    converted = quantize_pt2e.convert_pt2e(prepared)
    return torch.export.export(converted, (images,), dynamic_shapes=(batch,))


def main() -> int:
    """Runs the command, and returns its exit code."""
    parser = CommandParser("training.examples.mobilenet", __doc__)
    parser.add_argument("--output", type=Path, required=True, help=".pt2 file to write")
    parser.add_argument("--steps", type=int, default=5, help="number of steps of SGD; default 5")
    arguments: argparse.Namespace = parser.parse_args()
    model, losses = train(mobilenet, arguments.steps)
    images = normalise(load_images().first(CALIBRATION).images)
    with without_warnings(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = quantised(model, images)
        with replacing(arguments.output) as temporary:
            torch.export.save(program, temporary)
    return conclude(
        f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} steps; program: "
        f"{arguments.output}"
    )


if __name__ == "__main__":
    run_command(main)
