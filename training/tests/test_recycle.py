"""Dead channels come back to life, and the network computes what it did."""

import pytest
import torch
from torch.nn.functional import conv2d

from pymodel.images import normalise
from pymodel.layer_capture import capture
from pymodel.vgg import VGG16
from training.recipe import PRESETS, Recipe
from training.recycle import recycle


@pytest.fixture
def batch(images):
    return images.images[:20]


def squeezed_output(model, batch):
    """Returns the output of the squeezed layer after its ReLU, and which channels are dead."""
    model.eval()
    with torch.no_grad():
        output = model.features[:29](normalise(batch))
    return output, (output == 0).all(3).all(2).all(0)


def with_dead(model, channels):
    """Returns a copy of `model` with small negative weights in these squeezed channels."""
    copy = VGG16()
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        weight = copy.features[27].weight
        weight[channels] = -0.001 * weight[channels].abs()
    return copy.eval()


def test_dead_channels_live_again_and_the_logits_stay(shipped, batch):
    model = with_dead(shipped, [2, 5])
    squeezed = model.features[27]
    _, dead = squeezed_output(model, batch)
    assert dead.nonzero().flatten().tolist() == [2, 5]
    norm, codes = squeezed.weight.norm().item(), squeezed.weight_codes()
    with torch.no_grad():
        logits = model(normalise(batch))
    assert recycle(model, batch, seed=1) == [2, 5]
    output, none = squeezed_output(model, batch)
    assert not none.any()
    assert (output[:, [2, 5]] > 0).float().mean() > 0.1
    with torch.no_grad():
        sums = conv2d(capture(model, batch).input, squeezed.weight, padding=1)
        assert (sums.mean((0, 2, 3))[[2, 5]] > 0).all()
        # The logits differ a little: BatchNorm's epsilon did not shrink, and a code at an edge may
        # change.
        assert torch.allclose(model(normalise(batch)), logits, atol=0.1)
    assert squeezed.weight.norm().item() == pytest.approx(norm)
    assert (squeezed.weight_codes()[~dead] != codes[~dead]).float().mean() < 0.01
    assert recycle(model, batch, seed=1) == []


def test_a_seed_gives_the_same_weights_and_another_seed_others(shipped, batch):
    models = [with_dead(shipped, [0]) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        assert recycle(model, batch, seed) == [0]
    first, same, other = (model.features[27].weight for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("case", ["all alive", "all dead", "no squeezed layer"])
def test_nothing_else_is_touched(shipped, batch, case):
    model = {
        "all alive": lambda: with_dead(shipped, []),
        "all dead": lambda: with_dead(shipped, range(8)),
        "no squeezed layer": lambda: VGG16(squeeze=None),
    }[case]()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert recycle(model, batch, seed=1) == []
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_in_one_epoch_of_best_and_never_in_quick():
    assert [e for e in range(130) if PRESETS["best"].recycles(e)] == [123]
    assert not any(Recipe().recycles(e) for e in range(Recipe().epochs))
