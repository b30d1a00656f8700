"""Defines VGG16 (Simonyan & Zisserman, 2015) for CIFAR-10 with a convolution of 8 → 8 channels."""

import torch
from torch import Tensor, nn

from pymodel.lsq_quantiser import QuantConv2d

# Output channels of each convolution; "M" is a 2×2 max pool. "S" is the squeezed convolution:
# 8 → 8 channels without BatchNorm, so that an 8×8 array needs only one tile per kernel position.
PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 8, "S", 512, "M", 512, 512, 512, "M")
SQUEEZED_CHANNELS = 8
UNSQUEEZED = tuple(512 if entry in (SQUEEZED_CHANNELS, "S") else entry for entry in PLAN)
CLASSES = 10


class VGG16(nn.Module):
    """13 convolutions without bias, each followed by BatchNorm and ReLU, the squeezed one by ReLU.

    The first convolution and the classifier are float; the other twelve are quantised to `bits`.
    The squeezed layer is `features[27]`, on 4×4 maps; its output, after the ReLU, is the input of
    `features[29]`. Without `squeezed` the network is the ordinary VGG16, for comparison: 512
    channels instead of 8, and BatchNorm after every convolution.
    """

    def __init__(self, bits: int = 4, *, squeezed: bool = True):
        super().__init__()
        self.bits = bits
        layers: list[nn.Module] = [nn.Conv2d(3, PLAN[0], 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(PLAN[0]), nn.ReLU(inplace=True)]
        channels = PLAN[0]
        for entry in (PLAN if squeezed else UNSQUEEZED)[1:]:
            if entry == "M":
                # Rounding up changes nothing at 32×32, and lets training use smaller images too.
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                continue
            out = SQUEEZED_CHANNELS if entry == "S" else entry
            layers.append(QuantConv2d(channels, out, bits=bits, kernel_size=3, padding=1))
            if entry != "S":
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
