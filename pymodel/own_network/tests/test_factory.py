"""A module of the user is known by its source as it was when it was loaded."""

import sys

from pymodel.own_network.factory import digests_of_modules, load_model

SOURCE = "from torch import nn\n\ndef make():\n    return nn.Identity()\n"


def test_a_module_keeps_the_digest_of_what_was_loaded(tmp_path, monkeypatch):
    """Its file may change afterwards: the process goes on with what it has loaded."""
    monkeypatch.syspath_prepend(tmp_path)
    name = "network_of_a_test"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    assert name not in digests_of_modules()
    try:
        load_model(f"{name}:make")
        first = digests_of_modules()[name]
        (tmp_path / f"{name}.py").write_text(SOURCE + "\n# another\n")
        assert digests_of_modules()[name] == first
    finally:
        sys.modules.pop(name, None)


def test_modules_of_others_are_left_out():
    """Python's own, installed packages and this project's are not the user's."""
    found = digests_of_modules()
    assert not [one for one in found if one.partition(".")[0] in ("os", "torch", "pymodel", "tb")]
