"""The cost of presets: their phases are measured once, and minutes follow from the steps."""

import json
import re
from dataclasses import replace

import pytest
import torch

import training.cost
import training.train
from training.cost import Phase, phases
from training.recipe import PRESETS, TEACHER
from training.tests import tiny


def test_each_epoch_is_in_a_phase_and_quick_shares_its_steps_with_standard():
    for recipe in PRESETS.values():
        teaching = TEACHER.epochs if recipe.distil else 0
        assert sum(phases(recipe).values()) == recipe.epochs + teaching
    assert phases(PRESETS["standard"]).keys() <= phases(PRESETS["quick"]).keys()
    found = list(phases(PRESETS["best"]))
    teacher, student = found[:3], found[3:]
    assert {phase.recipe.architecture for phase in teacher} == {"airbench"}
    assert [phase[1:] for phase in teacher] == [(s, False, False) for s in (16, 24, 32)]
    assert [phase[1:] for phase in student] == [
        (16, False, False),
        (24, False, True),
        (24, True, True),
        (32, True, True),
    ]


def test_minutes_follow_from_the_steps(command, tmp_path, monkeypatch):
    """Minutes are epochs × 195 steps × the time of a step, which is 0.1 s on 16 pixels here."""
    monkeypatch.setattr(training.cost, "RESULTS_FILE", tmp_path / "cost.json")
    monkeypatch.setattr(training.train, "compiler_works", lambda device: False)
    monkeypatch.setattr(training.cost, "measure", lambda phase, *_: (phase.size / 160, 0.01))
    code, out, _ = command(training.cost.main)
    assert code == 0
    found = json.loads((tmp_path / "cost.json").read_text())
    first = found[0]
    assert (first["preset"], first["size"], first["quantised"]) == ("quick", 16, False)
    assert first["minutes"] == pytest.approx(first["epochs"] * 195 * 0.1 / 60)
    whole = sum(row["minutes"] for row in found if row["preset"] == "standard")
    assert whole == pytest.approx((30 * 16 + 18 * 24 + 12 * 32) / 160 * 195 / 60)
    assert re.search(rf"^standard +{whole:.0f}$", out, re.MULTILINE)


@pytest.mark.verify
@pytest.mark.parametrize("distil", [0.0, 0.9])
def test_a_real_step_is_timed(distil, monkeypatch):
    """The part that Muon takes has a time of its own: it is measured apart from the whole step."""
    torch.set_num_threads(1)
    monkeypatch.setattr(training.cost, "CALIBRATION_IMAGES", 16)
    recipe = replace(tiny.RECIPE, batch_size=8, distil=distil, epochs=0, sizes=())
    with training.cost.setup("cpu", compiled=False) as place:
        whole, muon = training.cost.measure(Phase(recipe, 16, True, distil > 0), place, 1)
    assert whole > 0
    assert muon > 0


def test_refused(refused):
    refused(training.cost.main, "--steps", "0", words=["--steps is '0'", "1 to 1000"])
