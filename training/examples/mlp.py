"""Trains a multi-layer perceptron on images as vectors, with this project's quantisers.

python -m training.examples.mlp --output mlp.safetensors
"""

from torch import nn

from pymodel.images import load_images, normalise
from pymodel.lsq_quantiser import QuantLinear, initialise_scales
from pymodel.support.command import run_command
from training.examples.few_steps import main

BITS = 4


def mlp() -> nn.Module:
    """Returns the network, of which all but the first layer, whose input is signed, quantise."""
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(3 * 32 * 32, 96),
        nn.ReLU(),
        QuantLinear(96, 96, bits=BITS),
        nn.ReLU(),
        QuantLinear(96, 10, bits=BITS),
    )
    initialise_scales(model, normalise(load_images().first(16).images))
    return model


if __name__ == "__main__":
    run_command(lambda: main(mlp))
