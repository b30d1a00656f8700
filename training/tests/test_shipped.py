"""The shipped checkpoint computes what it computed when it was shipped."""

import torch

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.layer_capture import capture
from pymodel.support.checksummed_tensors import read_sealed
from training.evaluate import predict
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
