"""The README: its example runs, its links lead somewhere, its accuracy is the checkpoint's."""

import re
from pathlib import Path

from pymodel.checkpoint import load_checkpoint

README = Path(__file__).parents[2] / "README.md"


def test_example():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    assert names["codes"].shape == (100, 8, 4, 4)
    assert 0 <= names["codes"].min() < names["codes"].max() <= 15
    assert names["tiles"].weights.shape == (9, 8, 8)
    assert names["tiles"].activations.shape == (100, 9, 16, 8)


def test_links():
    text = README.read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 8
    for link in links:
        assert (README.parent / link).exists(), link


def test_accuracy_is_the_checkpoints():
    _, metadata = load_checkpoint()
    assert f"**{float(metadata['accuracy']):.2%}**" in README.read_text()
