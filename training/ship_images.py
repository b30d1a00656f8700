"""Writes the shipped images: the first ten of each class among CIFAR-10's test images.

CIFAR10_ROOT=FOLDER python -m training.ship_images
"""

import torch

from pymodel.images import CLASS_NAMES, SHIPPED, ImageSet, save_images
from pymodel.support.command import CommandParser, conclude, run_command
from training.data import load_cifar10

PER_CLASS = 10


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    CommandParser("training.ship_images", __doc__).parse_args()
    images = load_cifar10(None, train=False)
    of_class = [torch.nonzero(images.labels == c)[:PER_CLASS, 0] for c in range(len(CLASS_NAMES))]
    # The classes take turns, so that the first few images are of different classes.
    chosen = torch.stack(of_class, dim=1).flatten()
    save_images(ImageSet(images.images[chosen], images.labels[chosen], chosen), SHIPPED)
    return conclude(f"{SHIPPED}: {len(chosen)} images")


if __name__ == "__main__":
    run_command(main)
