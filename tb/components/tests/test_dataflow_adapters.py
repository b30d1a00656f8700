"""What arrays of other dataflows are asked for, and what is made of their answers."""

import asyncio
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.convolution import Convolution
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import AddBias, LayerData
from pymodel.support.errors import InputError
from tb.components.dataflow_adapters import (
    AccumulatingAdapter,
    CoreAdapter,
    CoreLayer,
    MatmulAdapter,
    in_vectors,
)
from tb.components.trained_tiles import core_layer, tile_run


class Accumulating(AccumulatingAdapter):
    """Adds the psums of the tiles that it is asked for."""

    rows, cols = 3, 2

    def __init__(self, **sizes):
        vars(self).update(sizes)
        self.sums, self.asked = [], []

    async def reset(self):
        pass

    async def load(self, weights):
        assert weights.shape == (3, 2)
        self.weights = weights

    async def stream(self, activations, first, last):
        self.asked.append((len(activations), first, last))
        psums = activations @ self.weights
        self.running = psums if first else self.running + psums
        if last:
            self.sums += self.running.tolist()

    def psums(self):
        return None


def random_tile(pixels: int, taps: int, cols: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Returns random weights [taps, cols] and activations [pixels, taps]."""
    rng = np.random.default_rng((pixels, taps))
    return rng.integers(-8, 8, (taps, cols)), rng.integers(0, 16, (pixels, taps))


@pytest.mark.parametrize("accumulators", [None, 1, 4, 5, 9])
def test_tiles_that_are_added_follow_one_another(accumulators):
    """As many pixels as there are accumulators go through all tiles of their sums."""
    array = Accumulating(accumulators=accumulators)
    tiles = [random_tile(pixels, 7) for pixels in (5, 1, 9)]
    weights, activations = zip(*tiles, strict=True)
    asyncio.run(array.play(np.stack(weights), activations))
    assert array.sums == array.expected(weights, activations).tolist()
    most = accumulators or 9
    whole, rest = divmod(9, most)
    sizes = [most] * whole + [rest] * (rest > 0)
    wanted = [(n, *ends) for n in sizes for ends in ((True, False), (False, False), (False, True))]
    assert array.asked[-len(wanted) :] == wanted


def test_sums_of_many_tiles():
    """The last tile is the last, whatever its number."""
    array, (weights, activations) = Accumulating(), random_tile(2, 3 * 400)
    asyncio.run(array.play(weights[None], [activations]))
    assert array.asked == [(2, n == 0, n == 399) for n in range(400)]


class Matmul(MatmulAdapter):
    """Multiplies with NumPy, in a form that the test chooses."""

    rows, cols = 4, 2

    def __init__(self, form=lambda product: product, **sizes):
        super().__init__(type("Dut", (), {"clk_i": None}))
        vars(self).update(sizes)
        self.form, self.asked = form, []

    async def reset(self):
        pass

    async def matmul(self, a, b):
        self.asked.append((a.shape, b.shape))
        return self.form(a @ b)


@pytest.mark.parametrize("form", [lambda c: c, lambda c: c.tolist(), list])
def test_products_have_the_rows_of_the_array(form):
    """Rows that no pixel fills are zeros and not compared; all rows come at one clock edge."""
    array = Matmul(form)
    weights, activations = random_tile(6, 5)
    asyncio.run(array.play(weights[None], [activations]))
    assert array.asked == [((4, 5), (5, 2))] * 2
    assert list(array.arrived()) == (activations @ weights).tolist()
    assert list(array.arrived()) == []


def test_what_an_earlier_run_left_does_not_count():
    array = Matmul()
    for tile in (random_tile(4, 5), random_tile(3, 2)):
        asyncio.run(array.play(tile[0][None], [tile[1]]))
    assert list(array.arrived()) == (tile[1] @ tile[0]).tolist()


def test_a_product_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"^matmul\(\) returned 3 rows, expected 4$"):
        asyncio.run(Matmul(lambda c: c[:3]).play(np.ones((1, 5, 2), int), [np.ones((2, 5), int)]))


def test_a_product_of_all_taps_is_a_sum():
    assert (Matmul().shows, Matmul(depth=5).shows) == ("sum", "psum")


@pytest.mark.parametrize(
    ("array", "cycles"),
    [(Matmul(), 20 * 8 * (4 + 2)), (Matmul(patience=1, latency=3), 8 * (4 + 2) + 3)],
)
def test_a_multiplier_is_given_up(array, cycles):
    """A product may take `patience` cycles for each of its taps, rows and columns."""
    assert array.limit(100, 8) == cycles


def test_a_core_is_given_up():
    """A core may take `patience` cycles for each tap, and each pixel or column."""
    assert Computes(patience=3, latency=5).limit(100, 8) == 3 * (8 * (2 + 100) + 5)


def test_what_an_adapter_has_to_have():
    assert AccumulatingAdapter.__abstractmethods__ == {"reset", "load", "stream", "psums"}
    assert MatmulAdapter.__abstractmethods__ == {"reset", "matmul"}
    assert CoreAdapter.__abstractmethods__ == {"reset", "run_layer"}
    assert (MatmulAdapter.latency, CoreAdapter.latency, CoreAdapter.psum_width) == (0, 0, 32)


def test_each_tile_has_its_activations():
    weights, activations = random_tile(4, 6)
    for array in (Accumulating(), Matmul(), Computes()):
        with pytest.raises(ValueError, match="zip"):
            asyncio.run(array.play(np.stack([weights] * 2), [activations]))
    with pytest.raises(ValueError, match="zip"):
        Computes().expected(np.stack([weights] * 2), [activations])


def test_a_layer_does_not_change():
    with pytest.raises(FrozenInstanceError):
        random_layer().zero = 3


class Computes(CoreAdapter):
    """A core that PyTorch computes."""

    rows = cols = 2

    def __init__(self, form=lambda maps: maps, **others):
        super().__init__(type("Dut", (), {"clk_i": None}))
        vars(self).update(others)
        self.form, self.ran = form, []

    async def reset(self):
        pass

    def requantise(self, sums, layer):
        scale, offset = (numbers[:, None, None] for numbers in (layer.scale, layer.offset))
        return (sums * scale + offset).round().clip(0, 2**layer.code_bits - 1)

    async def run_layer(self, layer):
        self.ran.append(layer)
        tensors = map(torch.from_numpy, (layer.activations, layer.weights))
        sums = integer_convolution(*tensors, *layer.convolution, zero=layer.zero).numpy()
        return self.form(self.promised(sums, layer))


def random_layer(**others) -> CoreLayer:
    """Returns a layer of 3 → 5 channels on two maps of 4 × 6 pixels, with `others` replaced."""
    rng = np.random.default_rng(3)
    return replace(
        CoreLayer(
            rng.integers(0, 16, (2, 3, 4, 6)),
            rng.integers(-8, 8, (5, 3, 3, 3)),
            Convolution(1, 1),
            0,
            np.full(5, 0.05),
            np.linspace(-3, 9, 5),
        ),
        **others,
    )


@pytest.mark.parametrize("outputs", ["sums", "relu", "codes"])
def test_the_outputs_of_a_core_come_in_groups_of_columns(outputs):
    core, layer = Computes(outputs=outputs), random_layer()
    asyncio.run(core.play_layer(layer))
    found = np.array(list(core.arrived())).reshape(2, 3, 24, 2)
    maps = found.transpose(0, 1, 3, 2).reshape(2, 6, 4, 6)
    sums = integer_convolution(*map(torch.from_numpy, (layer.activations, layer.weights)), 1, 1)
    np.testing.assert_array_equal(maps[:, :5], core.promised(sums.numpy(), layer))
    assert not maps[:, 5].any()
    assert maps.min() < 0 if outputs == "sums" else maps.min() == 0
    assert maps.max() == 15 if outputs == "codes" else maps.max() > 15
    np.testing.assert_array_equal(in_vectors(maps[:, :5], 2), found)


def test_outputs_that_nobody_knows_are_refused():
    sums, layer = np.ones((2, 5, 4, 6), int), random_layer()
    with pytest.raises(
        InputError, match=r"^Computes\.outputs is 'code', expected one of sums, relu"
    ):
        Computes(outputs="code").promised(sums, layer)
    core = Computes(outputs="codes", requantise=CoreAdapter.requantise.__get__(Computes()))
    with pytest.raises(InputError, match=r"^Computes gives codes, expected a method Computes\.req"):
        core.promised(sums, layer)


@pytest.mark.parametrize("outputs", ["sums", "relu", "codes"])
@pytest.mark.parametrize("smallest", [1, 3, 7])
def test_a_core_runs_tiles_with_the_smallest_kernel_that_it_supports(outputs, smallest):
    core = Computes(outputs=outputs, supports=lambda layer: layer.square[0] >= smallest)
    tiles = [random_tile(pixels, 7) for pixels in (5, 1)]
    weights, activations = zip(*tiles, strict=True)
    asyncio.run(core.play(np.stack(weights), activations))
    np.testing.assert_array_equal(list(core.arrived()), core.expected(weights, activations))
    assert {layer.square for layer in core.ran} == {(smallest, 1, smallest // 2)}
    if outputs == "sums":
        products = [a @ w for a, w in zip(activations, weights, strict=True)]
        np.testing.assert_array_equal(core.expected(weights, activations), np.concatenate(products))


def test_a_core_that_supports_no_kernel_is_refused():
    core = Computes(supports=lambda layer: False)
    words = r"^Computes\.supports\(\) refuses every kernel for 7 → 2 channels and a map of 5 pixels"
    with pytest.raises(InputError, match=words):
        core.layer_of_tile(*random_tile(5, 7))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda maps: maps[:, :4], r"int64 \[2, 4, 4, 6\], expected integers \[2, 5, 4, 6\]"),
        (lambda maps: maps.astype(float), r"float64 \[2, 5, 4, 6\], expected integers"),
    ],
)
def test_outputs_of_another_size_are_an_error(form, words):
    with pytest.raises(ValueError, match=f"^run_layer\\(\\) returned {words}"):
        asyncio.run(Computes(form).play_layer(random_layer()))


@pytest.mark.parametrize(
    ("convolution", "weights", "square"),
    [
        (Convolution(2, 1), (5, 3, 3, 3), (3, 2, 1)),
        (Convolution((2, 2), (0, 0)), (5, 3, 2, 2), (2, 2, 0)),
        (Convolution((2, 1), 1), (5, 3, 3, 3), None),
        (Convolution(1, (1, 0)), (5, 3, 3, 3), None),
        (Convolution(1, 1), (5, 3, 3, 1), None),
        (Convolution(1, 1, 2), (5, 3, 3, 3), None),
        (Convolution(1, 1, 1, 3), (6, 1, 3, 3), None),
    ],
)
def test_square_layers(convolution, weights, square):
    layer = random_layer(convolution=convolution, weights=np.ones(weights, int))
    assert layer.square == square


def trained(after: nn.Module, **others) -> LayerData:
    """Returns a layer of 4 → 2 channels whose sums are followed by `after`."""
    rng = np.random.default_rng(5)
    codes = torch.from_numpy(rng.integers(0, 16, (2, 4, 3, 3)))
    weights = torch.from_numpy(rng.integers(-8, 8, (2, 4, 3, 3)))
    step = torch.tensor([0.5, 0.25])[:, None, None]
    layer = LayerData("conv", codes, weights, Convolution(1, 1), step, after, torch.zeros(1), "y")
    layer = replace(layer, **others)
    return replace(layer, reference=layer.recover(layer.sums()).detach().float())


def norm() -> nn.BatchNorm2d:
    """Returns a BatchNorm of two channels, of which one turns the sign."""
    module = nn.BatchNorm2d(2, eps=0).eval()
    module.weight.data[:] = torch.tensor([2.0, -1.0])
    module.bias.data[:] = torch.tensor([3.0, 0.5])
    module.running_mean[:] = torch.tensor([1.0, 2.0])
    module.running_var[:] = torch.tensor([4.0, 0.25])
    return module


@pytest.mark.parametrize(
    ("after", "others"),
    [
        (nn.Sequential(nn.ReLU()), {}),
        (nn.Sequential(norm(), nn.ReLU()), {}),
        (AddBias(torch.tensor([4.0, -3.0])), {"zero": 7}),
    ],
    ids=["relu", "norm", "bias"],
)
def test_a_core_gets_the_line_from_sums_to_codes(after, others):
    """The reference, in steps of its largest value, is the line, cut off where a ReLU cuts it."""
    layer = trained(after, **others)
    given = core_layer(layer, Computes())
    top = 2**layer.activation_bits - 1
    found = layer.sums().numpy() * given.scale[:, None, None] + given.offset[:, None, None]
    wanted = layer.reference.numpy() * (top / layer.reference.max().item())
    found = found if isinstance(after, AddBias) else found.clip(0)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert given.code_bits == 4


def test_what_a_core_cannot_promise_of_a_layer():
    relu, codes = Computes(outputs="relu"), Computes(outputs="codes")
    plain = trained(nn.Sequential(nn.ReLU()))
    assert core_layer(plain, relu).zero == 0
    for layer in (
        trained(nn.Sequential(norm(), nn.ReLU())),
        trained(AddBias(torch.zeros(2))),
        trained(nn.Sequential(nn.ReLU()), zero=3),
        trained(nn.Sequential(nn.ReLU()), weight_zeros=torch.ones(2)),
    ):
        with pytest.raises(InputError, match="gives the ReLU of sums, but in layer 'conv' more"):
            core_layer(layer, relu)
    with pytest.raises(InputError, match="gives codes, but the weights of layer 'conv' have zero"):
        core_layer(layer, codes)
    with pytest.raises(InputError, match=r"supports\(\) refuses layer 'conv', weights \[2"):
        core_layer(plain, Computes(supports=lambda layer: False))


@pytest.mark.parametrize("outputs", ["sums", "relu", "codes"])
def test_a_run_of_a_core_expects_what_the_core_promises(outputs):
    layer = trained(nn.Sequential(nn.ReLU()))
    core = Computes(outputs=outputs)
    run = tile_run(layer, core)
    assert run.shows == {"sums": "sum", "relu": "ReLU output", "codes": "code"}[outputs]
    asyncio.run(core.play_layer(core_layer(layer, core)))
    np.testing.assert_array_equal(list(core.arrived()), run.expected.reshape(-1, 2))
    assert run.tiles.weights.shape == (1, 36, 2)


@pytest.mark.parametrize(("depth", "tiles"), [(None, (1, 36)), (2, (18, 2)), (8, (9, 8))])
def test_a_run_of_a_multiplier_is_cut_to_its_depth(depth, tiles):
    layer = trained(nn.Sequential(nn.ReLU()))
    array = Matmul(depth=depth)
    run = tile_run(layer, array)
    assert run.tiles.weights.shape[:2] == tiles
    assert run.shows == array.shows
    weights = np.tile(run.tiles.weights.astype(int), (2, 1, 1))
    activations = run.tiles.activations.reshape(-1, 9, tiles[1])
    np.testing.assert_array_equal(array.expected(weights, activations), run.expected.reshape(-1, 2))
