"""Checks the augmentation of bytes pixel by pixel."""

import torch

from pymodel.images import ImageSet
from training.data import augment, hold_out, shrink

IMAGES = torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
NO_FLIP = torch.zeros(6, dtype=torch.bool)
NO_SHIFT = torch.zeros(6, 2, dtype=torch.int64)


def test_nothing_changes_nothing():
    assert torch.equal(augment(IMAGES, NO_FLIP, NO_SHIFT), IMAGES.float())


def test_flip_is_of_the_chosen_images():
    flip = torch.tensor([True, False] * 3)
    out = augment(IMAGES, flip, NO_SHIFT)
    assert torch.equal(out[0::2], IMAGES[0::2].flip(3).float())
    assert torch.equal(out[1::2], IMAGES[1::2].float())


def test_shift_moves_each_image_and_reflects_the_edge():
    shift = NO_SHIFT.clone()
    shift[0] = torch.tensor([2, -1])
    out = augment(IMAGES, NO_FLIP, shift)
    assert torch.equal(out[1:], IMAGES[1:].float())
    assert torch.equal(out[0, :, :30, 1:], IMAGES[0, :, 2:, :31].float())
    assert torch.equal(out[0, :, 30, 1:], IMAGES[0, :, 30, :31].float())  # reflected row
    assert torch.equal(out[0, :, :30, 0], IMAGES[0, :, 2:, 1].float())  # reflected column


def test_smaller_images():
    out = shrink(torch.full((6, 3, 32, 32), 77.0), 24)
    assert out.shape == (6, 3, 24, 24)
    torch.testing.assert_close(out, torch.full_like(out, 77.0))
    assert shrink(out, 24) is out


def test_held_out_images_are_the_last():
    rest, held = hold_out(ImageSet(IMAGES, torch.arange(6), torch.arange(6)), 2)
    assert rest.indices.tolist() == [0, 1, 2, 3]
    assert held.indices.tolist() == [4, 5]
    assert torch.equal(held.images, IMAGES[4:])
