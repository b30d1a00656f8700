"""The shipped checkpoints compute what they computed when they were shipped."""

import pytest
import torch

from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT, load_checkpoint
from pymodel.layer_capture import capture
from pymodel.support.checksummed_tensors import read_sealed
from training.evaluate import predict, with_integer_layer
from training.ship_logits import LOGITS, integer_logits


def test_logits_and_predictions_on_the_shipped_images(shipped, images):
    """The predictions equal the shipped ones, and the logits do so within a tolerance.

    The tolerance is wide enough for another processor.
    """
    stored, metadata = read_sealed(LOGITS)
    logits = integer_logits(shipped, images.images[:8])
    assert torch.allclose(logits, stored["logits"][:8], rtol=0, atol=1e-3)
    assert torch.equal(predict(shipped, images.images), stored["logits"].argmax(1))
    assert metadata["accuracy"] == load_checkpoint(SHIPPED)[1]["accuracy"]


def test_no_channel_of_the_squeezed_layer_is_dead(shipped, images):
    """A column of the array that computes only zeros would prove nothing."""
    seen = capture(shipped, images.images, "features.27")
    assert (seen.next_input > 0).float().mean((0, 2, 3)).min() > 0.1


def test_a_changed_weight_is_seen(shipped, images):
    """The smallest change of the squeezed layer, one code by one, changes the logits."""
    model, _ = load_checkpoint(SHIPPED)
    layer = model.features[27]
    with torch.no_grad():
        layer.weight[0, 0, 1, 1] += layer.weight_quantiser.scale[0, 0, 0, 0]
    assert not torch.equal(layer.weight_codes(), shipped.features[27].weight_codes())
    stored, _ = read_sealed(LOGITS)
    few = integer_logits(model, images.images[:8])
    assert (few - stored["logits"][:8]).abs().max() > 1e-3


@pytest.fixture(scope="module")
def two_bit():
    """Returns the network of 2-bit activations, and its metadata."""
    return load_checkpoint(SHIPPED_2BIT)


def test_the_network_of_two_bits_fills_the_array_in_that_mode(two_bit):
    """Its squeezed layer has sixteen rows and two tiles of output channels, and no BatchNorm."""
    model, metadata = two_bit
    assert (metadata["weight_bits"], metadata["activation_bits"]) == ("4", "2")
    assert model.features[27].weight.shape == (16, 16, 3, 3)
    assert isinstance(model.features[28], torch.nn.ReLU)
    assert float(metadata["accuracy"]) > 0.90
    assert SHIPPED_2BIT.stat().st_size < 10_000_000


def test_the_network_of_two_bits_classifies_the_shipped_images(two_bit, images):
    """On integers its squeezed layer gives the same predictions."""
    predictions = predict(two_bit[0], images.images)
    assert int((predictions == images.labels).sum()) == 88
    assert torch.equal(predict(with_integer_layer(two_bit[0]), images.images), predictions)


def test_the_dead_channels_of_the_network_of_two_bits(two_bit, images):
    """Two of sixteen are zero after the ReLU, as training/README.md says; their psums are not."""
    seen = capture(two_bit[0], images.images, "features.27")
    alive = (seen.next_input > 0).float().mean((0, 2, 3))
    assert torch.nonzero(alive == 0).flatten().tolist() == [0, 8]
    assert alive.sort().values[2] > 0.1
