"""Gives dead channels of the squeezed convolution fresh weights.

No BatchNorm keeps the channels of this convolution alive: a channel whose sums are all
negative is zero behind the ReLU, has no gradient, and stays dead. As in Sokar et al., "The Dormant
Neuron Phenomenon in Deep Reinforcement Learning" (ICML 2023), section 4, such a channel gets fresh
incoming weights, and outgoing weights of zero. So the network computes what it computed before, and
can learn to use the channel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.layer_capture import capture
from pymodel.vgg import VGG16


@torch.no_grad()
def recycle(model: nn.Module, images: Tensor, seed: int) -> list[int]:
    """Gives the dead output channels of `features[27]` fresh weights; returns the channels, from 0.

    `images`: uint8 [N, 3, H, W]; a channel that is zero at every pixel of all images is dead. The
    fresh weights are drawn from `seed`, and the model is changed in place. A model that is no
    squeezed VGG16, or whose channels are all dead, keeps its weights; the function then returns no
    channels. A squeezed VGG16 is left in evaluation mode.
    """
    if not (isinstance(model, VGG16) and isinstance(model.features[28], nn.ReLU)):
        return []
    seen = capture(model, images, "features.27")
    dead = (seen.next_input == 0).all(3).all(2).all(0)
    if dead.all() or not dead.any():
        return []
    layer, following, norm = (model.features[at] for at in (27, 29, 30))
    weight, scale = layer.weight, layer.weight_quantiser.scale
    before = float(weight.norm())

    # The norm of each fresh kernel is the mean norm of the live ones. The mean of its weights is
    # zero, because no input is negative, so that weights of another mean could make all sums
    # negative. The sign of the kernel is such that the mean of its sums is positive, so that the
    # channel is not dead at first.
    live = weight[~dead].flatten(1).norm(dim=1).mean()
    shape = (int(dead.sum()), *weight.shape[1:])
    fresh = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(weight)
    fresh -= fresh.mean((1, 2, 3), keepdim=True)
    fresh *= live / fresh.flatten(1).norm(dim=1)[:, None, None, None]
    means = functional.conv2d(seen.input, fresh, padding=layer.padding).mean((0, 2, 3))
    fresh *= torch.where(means < 0, -1.0, 1.0)[:, None, None, None]
    weight[dead] = fresh
    present = scale.clone()
    layer.weight_quantiser.initialise(weight)
    scale[~dead] = present[~dead]
    following.weight[:, dead] = 0.0

    # Muon scales a weight tensor to a fixed norm. The scales and the statistics of BatchNorm shrink
    # with the weights, so that the codes of the live channels do not change.
    shrink = before / float(weight.norm())
    for tensor in (weight, scale, following.activation_quantiser.scale, norm.running_mean):
        tensor *= shrink
    norm.running_var *= shrink**2
    return dead.nonzero().flatten().tolist()
