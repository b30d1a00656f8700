"""Codes and scale are found from values alone, and one wrong value is no grid."""

import pytest
import torch

from pymodel.own_network.grids import MOST_LEVELS, Grid, coarsest_scale, grid_of


def codes(shape, low, high, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator).double()


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-8, 3.7e4, 1 / 15])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 15), (-8, 7), (-128, 127)])
def test_the_grid_of_values(scale, low, high):
    made = codes((6, 4, 3, 3), low, high)
    made.view(-1)[0] = max(high, -low) if low == 0 else low
    made.view(-1)[1] = 1
    grid, found = grid_of((made * scale).float(), (), per_channel=False)
    assert grid.found
    assert torch.equal(found, made)
    assert grid.scale.item() == pytest.approx(scale, rel=1e-6)


def test_the_coarsest_grid_is_taken():
    grid, found = grid_of(torch.tensor([0.0, 0.4, -0.8]), (), per_channel=False)
    assert found.tolist() == [0, 1, -2]
    assert (grid.low, grid.high) == (-2, 1)
    odd = torch.tensor([-3.0, -1.0, 1.0, 3.0]) / 15  # DoReFa: 2q − 3 on two bits
    assert grid_of(odd, (), per_channel=False)[1].tolist() == [-3, -1, 1, 3]


def test_a_channel_of_zeros_lies_on_any_grid():
    """A pruned channel does not hide the scales of the others, and gets one of them."""
    codes = torch.tensor([[1.0, -3, 2], [0, 0, 0], [1, 2, -3]])
    values = codes * torch.tensor([[0.1], [1.0], [0.03**0.5]])
    grid, found = grid_of(values, (), per_channel=True)
    assert torch.equal(found, codes.double())
    assert grid.scale.flatten().tolist() == pytest.approx([0.1, 0.03**0.5, 0.03**0.5])


def test_a_scale_for_each_channel():
    made = codes((6, 20), -7, 7)
    made[:, 0] = 7
    scales = torch.linspace(0.01, 0.3, 6, dtype=torch.float64)[:, None]
    values = (made * scales).float()
    assert grid_of(values, (), per_channel=False) is None
    grid, found = grid_of(values, (), per_channel=True)
    assert torch.equal(found, made)
    assert torch.allclose(grid.scale.flatten(), scales.flatten(), rtol=1e-6)


@pytest.mark.parametrize("steps", [0.01, 0.4123])
@pytest.mark.parametrize("kind", ["stated", "found"])
def test_one_wrong_value_of_many(kind, steps):
    """One value of 100,000 that lies a hundredth of a step beside the grid is seen."""
    made = codes((100, 1000), 0, 15)
    values = made * 0.37
    stated = (Grid(torch.tensor(0.37), torch.zeros(1), 0, 15),) if kind == "stated" else ()
    assert grid_of(values.float(), stated, per_channel=False)[0].found == (kind == "found")
    values[50, 7] += 0.37 * steps
    assert grid_of(values.float(), stated, per_channel=False) is None


def test_a_value_between_two_steps_may_lie_on_a_finer_grid():
    """The grid is then said to be found, and its codes give all values."""
    made = codes((100, 10), 0, 15)
    made[50, 7] += 0.4
    stated = Grid(torch.tensor(0.37), torch.zeros(1), 0, 15)
    grid, found = grid_of((made * 0.37).float(), (stated,), per_channel=False)
    assert grid.found
    assert torch.equal(found, (made * 5).round())


def test_a_scale_that_is_off_is_not_taken_as_it_is_stated():
    values = codes((100, 10), 0, 15) * 0.37
    stated = Grid(torch.tensor(0.37 * 1.01), torch.zeros(1), 0, 15)
    grid, _ = grid_of(values.float(), (stated,), per_channel=False)
    assert grid.found
    assert grid.scale.item() == pytest.approx(0.37)


def test_a_code_outside_the_stated_range():
    values = torch.tensor([0.0, 1.0, 16.0])
    stated = Grid(torch.tensor(1.0), torch.zeros(1), 0, 15)
    assert grid_of(values, (stated,), per_channel=False)[0].found


def test_zero_point():
    stated = Grid(torch.tensor(0.5), torch.tensor(3), 0, 15)
    grid, found = grid_of(torch.tensor([-1.5, 0.0, 6.0]), (stated,), per_channel=False)
    assert grid is stated
    assert found.tolist() == [0, 3, 15]


@pytest.mark.parametrize(
    "values",
    [
        torch.rand(1000),
        torch.zeros(5),
        torch.tensor([1.0, torch.nan]),
        torch.tensor([1.0, torch.inf]),
        torch.arange(MOST_LEVELS + 1.0),
    ],
)
def test_no_grid(values):
    assert grid_of(values, (), per_channel=False) is None


def test_a_scale_that_cannot_be_used():
    for scale in (0.0, -1.0, torch.nan, torch.inf):
        stated = Grid(torch.tensor(scale), torch.zeros(1), 0, 15)
        assert grid_of(torch.tensor([1.0, 2.0]), (stated,), per_channel=False)[0].found


def test_bits():
    def bits(low, high):
        return Grid(torch.ones(1), torch.zeros(1), low, high).bits

    assert [bits(*one) for one in [(0, 1), (0, 15), (-1, 1), (-8, 7), (-7, 7), (-9, 3)]] == [
        1,
        4,
        2,
        4,
        4,
        5,
    ]
    assert coarsest_scale(torch.tensor([2.0, 4.0])).item() == 2
