"""ResNet-18 (He et al., "Deep Residual Learning", 2016) for 32 × 32 images: the float teacher."""

from torch import Tensor, nn
from torch.nn import functional

from pymodel.vgg import CLASSES


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Block(nn.Module):
    """Two 3 × 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            _conv_bn(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            _conv_bn(outputs, outputs, 3),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] → [N, outputs, H/stride, W/stride]."""
        return functional.relu(self.body(x) + self.shortcut(x), inplace=True)


class ResNet18(nn.Module):
    """Four stages of two blocks, 64 to 512 channels; the first convolution is 3 × 3, stride 1."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = [_conv_bn(3, 64, 3), nn.ReLU(inplace=True)]
        channels = 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [Block(channels, outputs, stride), Block(outputs, outputs, 1)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W] float → logits [N, 10]."""
        return self.classifier(self.features(images).mean((2, 3)))
