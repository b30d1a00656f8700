"""Trains ResNet-20 for CIFAR-10 (He et al., 2016, option B) with this project's quantisers.

python -m training.examples.resnet20 --output resnet20.safetensors
"""

from torch import Tensor, nn

from pymodel.images import load_images, normalise
from pymodel.lsq_quantiser import QuantConv2d, QuantLinear, initialise_scales
from pymodel.support.command import run_command
from training.examples.few_steps import main

BITS = 4


class Block(nn.Module):
    """Two 3 × 3 convolutions and a shortcut.

    Where the sizes change, the shortcut is a 1 × 1 convolution, option B of the paper's section
    3.3. The paper's own CIFAR-10 networks have option A, which has no weights.
    """

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = QuantConv2d(
            in_channels, channels, bits=BITS, kernel_size=3, stride=stride, padding=1
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = QuantConv2d(channels, channels, bits=BITS, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample = nn.Sequential(
                QuantConv2d(in_channels, channels, bits=BITS, kernel_size=1, stride=stride),
                nn.BatchNorm2d(channels),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns float [N, channels, H', W'] for float [N, in_channels, H, W]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


class ResNet20(nn.Module):
    """Three stages of three blocks. The first convolution, whose input is signed, stays float."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.fc = QuantLinear(64, 10, bits=BITS)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits [N, 10] of normalised images, float [N, 3, 32, 32]."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def resnet20() -> nn.Module:
    """Returns the network, ready to be trained: its scales are initialised by some images."""
    model = ResNet20()
    initialise_scales(model, normalise(load_images().first(16).images))
    return model


if __name__ == "__main__":
    run_command(lambda: main(resnet20))
