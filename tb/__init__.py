"""Benches of the RTL. Each room below it has a sentence of its own; README.md has their order."""

from pathlib import Path

__path__.append(str(Path(__file__).with_name("old_names")))  # see pymodel/support/old_names.py
