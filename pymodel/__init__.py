"""Defines what the trained network computes: quantisers, network, checkpoint, images, capture."""

from pathlib import Path

__path__.append(str(Path(__file__).with_name("old_names")))  # pymodel/support/old_names.py says why
