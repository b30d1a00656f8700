"""Defines what the trained network computes: quantisers, network, checkpoint, images, capture."""

from pathlib import Path

__path__.append(str(Path(__file__).with_name("moved")))  # pymodel/support/moved.py says why
