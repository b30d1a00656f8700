"""The schedules follow from the recipe as they should."""

import json

import pytest

from pymodel.checkpoint import SHIPPED, load_checkpoint
from training.recipe import PRESETS, TEACHER, Recipe, changed, teacher_of


def test_learning_rate_is_a_triangle():
    recipe = Recipe(peak_lr=1.0, warmup=0.2)
    rates = [recipe.lr(step, 99) for step in range(99)]
    assert max(rates) == rates[19] == pytest.approx(1.0)
    assert rates[0] == pytest.approx(0.05)
    assert rates[-1] == pytest.approx(0.0125)
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)


@pytest.mark.parametrize("epochs", [5, 9, 18, 30])
def test_last_third_is_quantised_and_ends_on_full_images(epochs):
    recipe = Recipe(epochs=epochs)
    assert sum(recipe.quantised(e) for e in range(epochs)) == round(epochs / 3)
    assert not recipe.quantised(0)
    assert recipe.quantised(epochs - 1)
    sizes = [recipe.size(e) for e in range(epochs)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 32


def test_other_hyperparameters():
    settings = ["peak_lr=1", "shift=4", 'architecture="vgg16"', "sizes=[[0, 24], [0.5, 32]]"]
    recipe = changed(Recipe(epochs=6), settings)
    assert recipe == Recipe(
        epochs=6, peak_lr=1.0, shift=4, architecture="vgg16", sizes=((0.0, 24), (0.5, 32))
    )


@pytest.mark.parametrize("recipe", [*PRESETS.values(), TEACHER])
def test_presets_end_on_full_images(recipe):
    assert recipe.size(recipe.epochs - 1) == 32
    assert recipe.size(0) in (16, 32)


def test_a_teacher_teaches_in_the_last_share_of_the_epochs():
    recipe = Recipe(epochs=10, distil=0.9, taught_share=0.6)
    assert [recipe.taught(e) for e in range(10)] == 4 * [False] + 6 * [True]
    assert not any(Recipe().taught(e) for e in range(12))


def test_a_teacher_is_trained_no_longer_than_its_student():
    assert teacher_of(PRESETS["quick"]) is None
    assert teacher_of(PRESETS["best"]) == TEACHER
    assert teacher_of(Recipe(epochs=9, distil=0.5)).epochs == 9


def test_the_shipped_checkpoint_is_of_the_preset_best():
    _, metadata = load_checkpoint(SHIPPED)
    best = json.loads(json.dumps(PRESETS["best"].as_dict()))
    shipped = json.loads(metadata["recipe"])
    # The checkpoint is older than different bits of weights and activations, and than other
    # hyperparameters, which have their defaults.
    assert shipped.pop("bits") == best["weight_bits"] == best["activation_bits"]
    assert Recipe().as_dict() | shipped == best
    assert "--preset best" in metadata["command"]
