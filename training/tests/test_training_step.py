"""Checks the loss of the teacher, CutMix, and which optimiser trains what."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from pymodel.vgg import VGG16
from training.airbench import Airbench
from training.recipe import PRESETS
from training.tests import tiny
from training.training_step import Place, cutmix_box, distillation, make_optimisers


def test_distillation_is_zero_for_the_teachers_own_logits_and_has_its_gradient():
    taught = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
    assert distillation(taught, taught, 4.0) == pytest.approx(0, abs=1e-5)
    logits = torch.zeros(4, 10, requires_grad=True)
    distillation(logits, taught, 2.0).backward()
    expected = 2.0 * (0.1 - functional.softmax(taught / 2.0, 1)) / 4  # T · (student − teacher) / N
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_cutmix_replaces_the_drawn_area_in_its_share_of_the_steps():
    assert cutmix_box(32, [0.4, 0.25, 0.5, 0.5], 0.5) == (slice(8, 24), slice(8, 24))
    assert cutmix_box(32, [0.4, 0.25, 0.0, 1.0], 0.5) == (slice(0, 8), slice(24, 40))
    assert cutmix_box(32, [0.5, 0.25, 0.5, 0.5], 0.5) == (slice(0), slice(0))


def test_muon_trains_the_kernels_and_sgd_the_rest():
    model, place = VGG16(), Place(torch.device("cpu"))
    sgd, muon = make_optimisers(model, PRESETS["quick"], place)
    kernels = [p for group in muon.param_groups for p in group["params"]]
    assert len(kernels) == 12
    others = [p for group in sgd.param_groups for p in group["params"]]
    assert len(kernels) + len(others) == len(list(model.parameters()))
    assert [group["lr_share"] for group in muon.param_groups] == [pytest.approx(0.25)]
    scales = sgd.param_groups[-1]
    assert len(scales["params"]) == 24
    (slower, _) = make_optimisers(model, replace(PRESETS["quick"], scale_lr=0.02), place)
    assert [group["lr_share"] for group in slower.param_groups] == [1, 1, pytest.approx(0.1)]
    (alone,) = make_optimisers(model, replace(PRESETS["quick"], muon_lr=0.0), place)
    groups = [group for group in alone.param_groups if group["weight_decay"]]
    decayed = [p.ndim for group in groups for p in group["params"]]
    assert sorted(decayed) == [2] + 13 * [4]


@pytest.mark.verify
def test_a_taught_run_differs_and_repeats(tmp_path):
    """With CutMix and a teacher the weights are others than without, and the same in each run."""
    torch.set_num_threads(1)
    recipe = replace(tiny.RECIPE, muon_lr=0.0, cutmix=1.0, distil=0.9)
    torch.manual_seed(0)
    teacher = Airbench().eval().requires_grad_(False)
    taught = tiny.run(tmp_path / "a", recipe=recipe, teacher=teacher)
    again = tiny.run(tmp_path / "b", recipe=recipe, teacher=teacher)
    later = tiny.run(tmp_path / "d", recipe=replace(recipe, taught_share=0.4), teacher=teacher)
    alone = tiny.run(tmp_path / "c", recipe=recipe)
    assert all(torch.equal(taught[n], again[n]) for n in taught)
    runs = (taught, later, alone)
    for one, other in itertools.combinations(runs, 2):
        assert not torch.equal(one["features.27.weight"], other["features.27.weight"])
