"""Trains a 1D network on images as sequences of pixels, with this project's quantisers.

python -m training.examples.sequence_cnn --output sequence_cnn.safetensors
"""

from torch import Tensor, nn

from pymodel.images import load_images, normalise
from pymodel.lsq_quantiser import QuantLayer, QuantLinear, initialise_scales
from pymodel.support.command import run_command
from training.examples.few_steps import main

BITS = 4


class QuantConv1d(QuantLayer, nn.Conv1d):
    """A 1D convolution without bias whose weights and input activations are fake-quantised."""

    def __init__(self, in_channels: int, out_channels: int, *, bits: int, **convolution):
        super().__init__(in_channels, out_channels, bias=False, **convolution)
        self._add_quantisers(bits)

    @property
    def kernels(self) -> Tensor:
        """The weights, float [out_channels, in_channels, 1, k]."""
        return self.weight[:, :, None]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output [N, out_channels, L'] for float `x` [N, in_channels, L]."""
        if not self.quantising:
            return super().forward(x)
        weight = self.weight_quantiser(self.kernels).squeeze(2)
        return self._conv_forward(self.activation_quantiser(x), weight, None)


def sequence_cnn() -> nn.Module:
    """Returns the network: strided, dilated and pointwise convolutions, and a linear layer."""
    model = nn.Sequential(
        nn.Flatten(2),  # 1,024 pixels of three colours
        nn.Conv1d(3, 8, 9, stride=4, padding=4, bias=False),  # stays float: its input is signed
        nn.BatchNorm1d(8),
        nn.ReLU(),
        QuantConv1d(8, 16, bits=BITS, kernel_size=9, stride=4, padding=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        QuantConv1d(16, 16, bits=BITS, kernel_size=3, padding=4, dilation=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        QuantConv1d(16, 24, bits=BITS, kernel_size=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        QuantLinear(24, 10, bits=BITS),
    )
    initialise_scales(model, normalise(load_images().first(16).images))
    return model


if __name__ == "__main__":
    run_command(lambda: main(sequence_cnn))
