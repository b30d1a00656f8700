"""Trains a small CNN that Brevitas quantises.

python -m training.examples.brevitas_cnn --output brevitas_cnn.safetensors
"""

import brevitas.nn as qnn
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import nn

from pymodel.support.command import run_command
from training.examples.few_steps import main

BITS = 4


def activation() -> nn.Module:
    """Returns a ReLU that gives unsigned codes to the layer that follows."""
    return qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True)


def brevitas_cnn() -> nn.Module:
    """Returns the network: three convolutions and a linear layer, three of the four in 4 bits."""
    per_channel = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": BITS}
    per_tensor = {"weight_quant": Int8WeightPerTensorFloat, "weight_bit_width": BITS}
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # stays float, because its input is signed
        nn.BatchNorm2d(8),
        activation(),
        qnn.QuantConv2d(8, 16, 3, stride=2, padding=1, bias=False, **per_channel),
        nn.BatchNorm2d(16),
        activation(),
        # This layer uses all codes from −8 to 7; by default Brevitas does not use −8.
        qnn.QuantConv2d(16, 16, 1, weight_narrow_range=False, **per_tensor),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(16 * 4 * 4, 10, bias=True, **per_channel),
    )


if __name__ == "__main__":
    run_command(lambda: main(brevitas_cnn))
