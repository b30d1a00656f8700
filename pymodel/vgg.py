"""Defines VGG16 (Simonyan & Zisserman, 2015) for CIFAR-10 with one convolution of few channels."""

import torch
from torch import Tensor, nn

from pymodel.lsq_quantiser import QuantConv2d

# Output channels of each convolution; "M" is a 2×2 max pool. "S" is the squeezed convolution, and
# "N" the one before it, which has as few output channels.
PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", "N", "S", 512, "M", 512, 512, 512, "M")
SQUEEZE = 8
WIDEST = 512  # channels of "N" and "S" where the network is not squeezed
CLASSES = 10


class VGG16(nn.Module):
    """13 convolutions without bias, each followed by BatchNorm and ReLU, the squeezed one by ReLU.

    The first convolution and the classifier are float; the other twelve are quantised, weights to
    codes of `weight_bits` and activations to codes of `activation_bits`. The squeezed layer is
    `features[27]`, on 4×4 maps; its output, after the ReLU, is the input of `features[29]`. It has
    `squeeze` → `squeeze` channels: with 8, an 8×8 array needs only one tile per kernel position.
    Where `squeeze` is None the network is the ordinary VGG16, for comparison: 512 channels there,
    and BatchNorm after every convolution.
    """

    def __init__(
        self, *, weight_bits: int = 4, activation_bits: int = 4, squeeze: int | None = SQUEEZE
    ):
        super().__init__()
        self.weight_bits = weight_bits
        self.activation_bits = activation_bits
        self.squeeze = squeeze
        narrow = WIDEST if squeeze is None else squeeze
        layers: list[nn.Module] = [nn.Conv2d(3, PLAN[0], 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(PLAN[0]), nn.ReLU(inplace=True)]
        channels = PLAN[0]
        for entry in PLAN[1:]:
            if entry == "M":
                # Rounding up changes nothing at 32×32, and lets training use smaller images too.
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                continue
            out = narrow if entry in ("N", "S") else entry
            layers.append(
                QuantConv2d(
                    channels,
                    out,
                    bits=weight_bits,
                    activation_bits=activation_bits,
                    kernel_size=3,
                    padding=1,
                )
            )
            if entry != "S" or squeeze is None:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.ReLU(inplace=True))
            channels = out
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits [N, 10] of normalised images, float [N, 3, 32, 32]."""
        return self.classifier(torch.flatten(self.features(images), 1))
