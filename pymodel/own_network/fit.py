"""Judges whether layers of any network fit the array, and takes the integers of those that do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from pymodel.convolution import Convolution, Pair, in_words, pair, single
from pymodel.own_network.factory import of_the_user, words
from pymodel.own_network.grids import (
    LEAST_VALUES,
    MOST_LEVELS,
    TOLERANCE,
    Grid,
    coarsest_scale,
    grid_of,
)
from pymodel.own_network.watched_products import ANEW, Product, is_graph, watching
from pymodel.reference.layer_data import AddBias, LayerData
from pymodel.support.limits import GEOMETRY, MOST_BITS, MOST_SUM_BITS

FEW_ROWS = 8  # number of rows in which different scales are looked for
LARGEST_BLOCK = 256  # largest number of weights that share a scale of a block
LEAST_OF_A_ROW = 4  # least number of values other than 0 in a row whose scale counts
UNUSED = "the forward pass does not call it"


class FitError(Exception):
    """Says that a layer does not fit, and why, in one line without the layer's name."""

    kind = ""  # class of the module


class Fit(NamedTuple):
    """A layer that fits the array."""

    layer: LayerData
    kind: str  # class of the module
    weights: Grid
    activations: Grid
    weight_values: Tensor  # as judged, float32 [C_out, C_in / groups, kernel height, kernel width]
    error: float  # largest error of the output recovered from PyTorch's integer convolution
    error_steps: float  # the same error, in steps of the sum
    transposed: tuple[Pair, Pair] | None = None  # stride and padding of a transposed convolution


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Returns all convolution and linear layers of `model` by name, whether they fit or not.

    A model that is a layer itself has the name of its class.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, _ConvNd | nn.Linear)}
    return {name or type(layer).__name__: layer for name, layer in layers.items()}


@torch.no_grad()
def fit_layers(
    model: nn.Module,
    inputs: Tensor,
    names: list[str] | None = None,
    what: str = "the forward pass",
    quantiser: Callable | None = None,
) -> dict[str, Fit | FitError]:
    """Runs `inputs` [N, …] through `model` once, in float32, and judges all layers, or `names`.

    Returns the layer's `Fit` by its name, or the `FitError` that says why the layer does not fit,
    in the order in which the layers ran. A name is that of the module whose forward does a product,
    and with ":2" behind it that of the module's second product. The model is left in evaluation
    mode. `quantiser(module, values, kind)` returns codes, scale and zero point of the activations
    or weights that enter a product, or None; docs/own-network.md explains it. Raises InputError,
    which begins with `what`, if the model raises an exception.
    """
    if not is_graph(model):  # what a graph does in training is a part of it
        model.eval()
    for module in model.modules():  # PyTorch's fake-quantisers would change their scales
        if isinstance(observing := getattr(module, "observer_enabled", None), Tensor):
            observing.zero_()
    found: dict[str, Fit | FitError] = {}
    users: dict[int, str] = {}  # the product that used weights, by the address of their memory

    def take(product: Product) -> None:
        users.setdefault(product.weights.untyped_storage().data_ptr(), product.layer)
        if names is None or product.layer in names:
            found[product.layer] = judge(product, len(inputs), quantiser)

    with exact_products(), watching(model, inputs, take) as forward:
        of_the_user(what, forward, inputs)
    for name, layer in layers_of(model).items():
        if name not in found and (names is None or name in names):
            weights = getattr(layer, "weight", None)
            where = weights.untyped_storage().data_ptr() if isinstance(weights, Tensor) else None
            reason = f"'{users[where]}' uses its weights" if where in users else UNUSED
            found[name] = FitError(reason)
            found[name].kind = type(layer).__name__
    return found


@contextmanager
def exact_products() -> Iterator[None]:
    """Lets PyTorch compute products in float32 and one by one inside the with statement."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    whole_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that holds four products
    try:
        with (
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.jit.optimized_execution(False),  # TorchScript would fuse operations
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.mha.set_fastpath_enabled(whole_attention)


def judge(product: Product, images: int, quantiser: Callable | None = None) -> Fit | FitError:
    """Returns the `Fit` of a product, or the `FitError` that says why it does not fit.

    `images` is the number of inputs; `quantiser` is that of `fit_layers`.
    """
    try:
        return _fit(product, images, quantiser)
    except FitError as reason:
        reason.kind = product.kind
        return reason


def _fit(product: Product, images: int, quantiser: Callable | None) -> Fit:
    """Returns the `Fit` of a product, whose integers give its output.

    `images` is the number of inputs. Raises FitError if the product does not fit, or if its
    integers do not give its output.
    """
    if product.fault:
        raise FitError(product.fault)
    values, weights, reference, convolution = as_convolution(product, images)
    for tensor, name in ((values, "activations"), (weights, "weights"), (reference, "outputs")):
        if tensor.dtype != torch.float32:
            raise FitError(f"its {name} are {tensor.dtype}, expected torch.float32")
        if not torch.isfinite(tensor).all():
            raise FitError(f"its {name} hold NaN or infinity")
    if quantiser:
        product = replace(
            product,
            activation_grids=_asked(quantiser, product.module, product.activations, "activation"),
            weight_grids=_asked(quantiser, product.module, product.weights, "weight"),
        )
    check_limits(values, weights, convolution)
    depthwise = convolution.groups == values.shape[1] > 1
    rows = product.weights.ndim == 2
    activations = activation_codes(values, product.activation_grids, depthwise, rows)
    weight = weight_codes(weights, product.weight_grids)
    out_channels = len(weights)
    # In a depthwise layer each output channel has the scale of its only input channel.
    scales = activations.grid.scale.flatten()
    scales = scales.repeat_interleave(out_channels // len(scales)) if len(scales) > 1 else scales
    step = (weight.grid.scale.flatten() * scales).expand(out_channels).float()
    bias = torch.zeros(out_channels) if product.bias is None else product.bias.flatten()
    data = LayerData(
        product.layer,
        activations.codes.to(torch.int16),
        weight.codes.to(torch.int8),
        convolution,
        step[:, None, None].clone(),
        AddBias(bias.detach().clone()),
        reference.clone(),  # because a later operation may work in place
        f"output of {product.layer}",
        activations.bits,
        weight.bits,
        int(activations.zeros.item()),
        weight.zeros.expand(out_channels).clone() if weight.zeros.any() else None,
    )
    largest = data.weight_codes.double().abs().sum((1, 2, 3)).max().item() * (
        2**data.activation_bits - 1
    )
    if largest >= 2 ** (MOST_SUM_BITS - 1):
        raise FitError(f"its sums can reach ±{largest:,.0f}, more than {MOST_SUM_BITS} bits hold")
    sums = data.sums()
    error, error_steps = data.error(sums)
    if not data.agrees(sums):
        place = data.worst(sums)
        allowed = data.allowed().expand(reference.shape)[place].item()
        raise FitError(
            f"its output differs from what its integers give by {error:.3g} ({error_steps:.3g} "
            f"steps), expected below {allowed:.3g}"
        )
    grids = weight.grid, activations.grid
    fit = Fit(data, product.kind, *grids, weights.detach().clone(), error, error_steps)
    if product.transposed:
        stride, padding = (
            (one, *side) if len(side) == 1 else side
            for one, side in ((1, product.stride), (0, product.padding))
        )
        fit = fit._replace(transposed=(single(stride), single(padding)))
    return fit


def on_inputs(fit: Fit, product: Product, images: int) -> LayerData:
    """Returns a layer that fits on other inputs, with the same grids.

    `product` is the layer's product on these inputs, and `images` their number. The reference is
    the product's output on these inputs. Raises FitError if the activations do not lie on the
    layer's grid, and if its weights or its geometry are others than when it was judged.
    """
    values, weights, reference, convolution = as_convolution(product, images)
    if convolution != fit.layer.convolution or not torch.equal(weights, fit.weight_values):
        raise FitError(
            "its weights or its geometry on these inputs are not those on the inputs on which it "
            "was judged"
        )
    bits, zero = fit.layer.activation_bits, fit.layer.zero
    codes = torch.full(values.shape, zero)
    if values.any():
        depthwise = convolution.groups == values.shape[1] > 1
        found = activation_codes(values, (fit.activations,), depthwise)
        if not torch.equal(found.grid.scale, fit.activations.scale):
            raise FitError(
                "its activations on these inputs do not lie on the grid of the inputs on which it "
                "was judged"
            )
        codes, bits, zero = found.codes, found.bits, int(found.zeros.item())
    bias = torch.zeros(len(weights)) if product.bias is None else product.bias.flatten()
    return replace(
        fit.layer,
        activation_codes=codes.to(torch.int16),
        activation_bits=bits,
        zero=zero,
        after=AddBias(bias.detach().clone()),
        reference=reference,
    )


def as_output(values: Tensor, product: Product) -> Tensor:
    """Returns values [N, C_out, H', W'] of a layer in the shape of its product's output."""
    if product.weights.ndim == 2:
        values = values.flatten(2).transpose(1, 2)
    return values.reshape(product.output.shape)


def check_limits(values: Tensor, weights: Tensor, convolution: Convolution) -> None:
    """Raises FitError for a geometry beyond the limits of all files (pymodel/support/limits.py)."""
    numbers = {
        "kernel": tuple(weights.shape[2:]),
        **{name: pair(getattr(convolution, name)) for name in ("stride", "padding", "dilation")},
        "map": tuple(values.shape[2:]),
    }
    for name, sides in numbers.items():
        least, most = GEOMETRY["height" if name == "map" else name]
        if not least <= min(sides) <= max(sides) <= most:
            raise FitError(
                f"its {name} is {in_words(sides)}, expected sides from {least} to {most}"
            )


def as_convolution(product: Product, images: int) -> tuple[Tensor, Tensor, Tensor, Convolution]:
    """Returns a product as a 2D convolution: activations, weights, output and its geometry.

    The tensors are float [N, C_in, H, W], [C_out, C_in / groups, kh, kw] and [N, C_out, H', W']. N
    is the number of maps, which need not be that of images: frames and windows may be maps too. A
    matrix product is a 1 × 1 convolution, whose rows are pixels of the images if the number of rows
    is a multiple of the number of images, and are images otherwise; a 1D convolution has maps of
    one row. A transposed convolution is a convolution by the turned kernel, of a map with zeros
    between its pixels and around them (Dumoulin and Visin, "A guide to convolution arithmetic for
    deep learning", 2016, section 4). Raises FitError for any other product.
    """
    values, weights, output = product.activations, product.weights, product.output
    if weights.ndim == 2:
        if len(values) % images:  # such as a layer that is called once for each image
            images = len(values)
        values, output = (
            one.reshape(images, -1, one.shape[-1]).transpose(1, 2)[..., None]
            for one in (values, output)
        )
        return values, weights[..., None, None], output, Convolution()
    if weights.ndim not in (3, 4):
        raise FitError(
            f"it has weights of shape {list(weights.shape)}, expected a 1D or 2D convolution or a "
            "linear layer"
        )
    stride, padding, dilation = product.stride, product.padding, product.dilation
    more = product.output_padding
    if weights.ndim == 3:
        values, weights, output = (one.unsqueeze(2) for one in (values, weights, output))
        stride, padding, dilation, more = (
            (n, *p) for n, p in zip((1, 0, 1, 0), (stride, padding, dilation, more), strict=True)
        )
    if not product.transposed:
        return (
            values,
            weights,
            output,
            Convolution(*map(single, (stride, padding, dilation)), product.groups),
        )
    groups = product.groups
    apart = torch.zeros(
        *values.shape[:2],
        *((side - 1) * s + 1 for side, s in zip(values.shape[2:], stride, strict=True)),
        dtype=values.dtype,
    )
    apart[:, :, :: stride[0], :: stride[1]] = values
    # Borders in PyTorch's order, the last dimension first; a negative border cuts pixels off
    borders = []
    for k, p, d, m in zip(weights.shape[2:], padding, dilation, more, strict=True):
        border = d * (k - 1) - p
        borders = [border, border + m, *borders]
    parts = weights.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return (
        functional.pad(apart, borders),
        parts.flip(2, 3),
        output,
        Convolution(dilation=single(dilation), groups=groups),
    )


class Codes(NamedTuple):
    """The codes of a tensor as the array takes them: value = (code − zero) · scale."""

    codes: Tensor  # float64 whole numbers, of the shape of the tensor
    grid: Grid  # grid of the values, stated by a quantiser or found
    zeros: Tensor  # float64, one zero point or one for each output channel
    bits: int  # number of bits of a code


def activation_codes(
    values: Tensor, stated: tuple[Grid, ...], depthwise: bool, rows: bool = False
) -> Codes:
    """Returns the codes of activations [N, C, H, W], from 0 to 2^bits − 1.

    Codes that a quantiser states are taken as they are, and signed ones are shifted, so that their
    zero point is not 0. In a `depthwise` layer each channel may have a scale. `rows` says that the
    pixels are the rows of a matrix product; only the message of a FitError depends on it. Raises
    FitError if the values lie on no grid, or have more than MOST_BITS bits.
    """
    grid, codes = _on_grid(values, stated, "activation")
    if grid is None and depthwise:
        channels = values.transpose(0, 1)
        grid, codes = _on_grid(channels, stated, "activation", per_channel=True)
        if grid and grid.found and channels[0].numel() < LEAST_VALUES:
            grid = None  # a few values lie on some grid by chance
        codes = None if grid is None else codes.transpose(0, 1)
    if grid is None:
        several = any(one.scale.numel() > 1 for one in stated)
        if several or several_grids(values.transpose(0, 1).flatten(1)):
            raise FitError("its activations have several scales, expected one")
        if rows and several_grids(values.flatten(2).transpose(1, 2).flatten(0, 1)):
            raise FitError("its activations have a scale for each row (token), expected one")
        if several_grids(values.flatten(1)):
            raise FitError("its activations have a scale for each input, expected one")
        raise FitError(_not_quantised("activation", stated, values))
    if grid.anew:
        raise FitError(ANEW)
    if grid.zero_point.numel() > 1:
        if grid.zero_point.unique().numel() > 1:
            raise FitError("its activations have a zero point for each channel, expected one")
        grid = replace(grid, zero_point=grid.zero_point.flatten()[:1])
    zero = grid.zero_point.double().item()
    # If 0 lies in the middle between two codes, the steps are halved, and 0 gets a code of its own.
    if zero % 1 == 0.5:
        zero, codes = 2 * zero, 2 * codes
        grid = Grid(grid.scale / 2, 2 * grid.zero_point, 2 * grid.low, 2 * grid.high, widened=True)
    if zero % 1:
        raise FitError(f"its activations have the zero point {zero:g}, expected a whole number")
    signed = codes - zero
    low, high = grid.low - zero, grid.high - zero
    if signed.min() >= 0:  # no code needs the sign that a quantiser may declare
        low = 0
    low, high = min(low, 0), max(high, 0)  # 0 needs a code for a border of zeros
    if high - low >= 2**MOST_BITS:
        low, high = min(signed.min().item(), 0), max(signed.max().item(), 0)
    bits = max(1, int(high - low).bit_length())
    if bits > MOST_BITS:
        raise FitError(f"its activations have {bits} bits, expected at most {MOST_BITS}")
    half = 2 ** (bits - 1)
    if low < 0 and low >= -half and high < half:  # the codes are those of two's complement
        low = -half
    return Codes(signed - low, grid, torch.tensor([-low], dtype=torch.float64), bits)


def several_grids(rows: Tensor) -> bool:
    """Returns whether a few of the rows [R, N] lie on grids, but no single grid holds them."""
    full = rows[rows.count_nonzero(1) >= LEAST_OF_A_ROW][:FEW_ROWS]
    scales = [coarsest_scale(row) for row in full]
    return len(full) > 1 and None not in scales and coarsest_scale(full) is None


def weight_codes(weights: Tensor, stated: tuple[Grid, ...]) -> Codes:
    """Returns the codes of weights [C_out, …], in two's complement of `bits`.

    Codes less their zero point are taken, or the codes themselves where these need fewer bits,
    shifted so that they are signed, with a zero point for each output channel. Raises FitError if
    the weights lie on no grid, or have more than MOST_BITS bits.
    """
    grid, codes = _on_grid(weights, stated, "weight", per_channel=True)
    if grid is None:
        if several_grids(weights.transpose(0, 1).flatten(1)):
            raise FitError(
                "its weights have a scale for each input channel, expected one for each output "
                "channel"
            )
        for size in range(min(LARGEST_BLOCK, weights[0].numel() // 2), LEAST_OF_A_ROW, -1):
            if weights[0].numel() % size == 0 and all(
                several_grids(one.reshape(-1, size)) for one in weights[:FEW_ROWS]
            ):
                raise FitError(
                    f"its weights have a scale for each block of {size}, expected one for each "
                    "output channel"
                )
        raise FitError(_not_quantised("weight", stated, weights))
    zeros = grid.zero_point.double().flatten()
    signed = codes - zeros.reshape(-1, *[1] * (weights.ndim - 1))
    whole = not zeros.frac().any()
    stated_range = grid.low - zeros.max().item(), grid.high - zeros.min().item()
    low, high = grid.low, grid.high
    if grid.found:  # a grid that was found is symmetric, and the codes may need fewer bits
        low, high = int(codes.min().item()), int(codes.max().item())
    bits = max(2, (high - low).bit_length())
    for least, most in (stated_range, (signed.min().item(), signed.max().item())):
        without = max(2, int(max(most, -1 - least)).bit_length() + 1)
        if whole and without <= MOST_BITS and (without <= bits or not zeros.any()):
            return Codes(signed, grid, torch.zeros(1, dtype=torch.float64), without)
    if bits > MOST_BITS:
        raise FitError(f"its weights have {bits} bits, expected at most {MOST_BITS}")
    shift = low + 2 ** (bits - 1)
    return Codes(codes - shift, grid, zeros - shift, bits)


def _asked(
    quantiser: Callable, module: nn.Module | None, values: Tensor, kind: str
) -> tuple[Grid, ...]:
    """Returns the grid that the user's quantiser states for these values, or () if it knows none.

    Raises FitError if its codes are not whole numbers, or do not stand for the values.
    """
    told = of_the_user(
        f"the quantiser, of {kind}s of {type(module).__name__}", quantiser, module, values, kind
    )
    if told is None:
        return ()
    try:
        codes, scale, zero = (torch.as_tensor(part).detach().double() for part in told)
        distance = ((codes - zero) - values.double() / scale).abs().max().item()
        whole = bool((codes == codes.round()).all())
    except (TypeError, ValueError, RuntimeError) as error:
        raise FitError(
            f"its {kind}s: what the quantiser returns cannot be used ({words(error)}), expected "
            "codes, scale and zero point, or None"
        ) from None
    if not whole or not distance <= TOLERANCE:
        raise FitError(
            f"the codes that the quantiser returns for its {kind}s are "
            + (
                f"off by {distance:.3g} steps, expected at most {TOLERANCE:g}"
                if whole
                else "not whole numbers"
            )
        )
    scale, zero = (part.flatten() for part in torch.broadcast_tensors(scale, zero))
    return (Grid(scale, zero, int(codes.min().item()), int(codes.max().item())),)


def _on_grid(
    values: Tensor, stated: tuple[Grid, ...], kind: str, per_channel: bool = False
) -> tuple[Grid, Tensor] | tuple[None, None]:
    """Returns the grid of values and their codes, or None twice.

    Raises FitError if all values are 0.
    """
    if not values.any():
        raise FitError(
            f"its {kind}s are all 0, so a comparison would prove nothing; expected a trained "
            "state, with its scales set"
        )
    return grid_of(values, stated, per_channel=per_channel, weights=kind == "weight") or (
        None,
        None,
    )


def _not_quantised(kind: str, stated: tuple[Grid, ...], values: Tensor) -> str:
    """Returns the reason why a tensor has no codes; `stated` are the quantisers before it."""
    if stated and stated[0].levels > MOST_LEVELS:
        return f"its {kind}s have {stated[0].bits} bits, expected at most {MOST_BITS}"
    if (scale := coarsest_scale(values - values.min())) is not None:
        low, high = (one.double().item() / scale.item() for one in (values.min(), values.max()))
        steps = max(high, 0) - min(low, 0)
        if abs(2 * low - round(2 * low)) < 0.01:  # 0 lies on it, or in the middle of a step
            steps = round(steps if abs(low - round(low)) < 0.01 else 2 * steps)
            if steps >= MOST_LEVELS:
                return (
                    f"its {kind}s and 0 lie on a grid of {steps + 1} levels, which are "
                    f"{steps.bit_length()} bits, expected at most {MOST_BITS}"
                )
        return (
            f"its {kind}s lie on a grid of at most {MOST_LEVELS} levels, but 0 is neither on it "
            "nor in the middle of a step, so there is no zero point"
        )
    if stated:
        scales = ", ".join(f"{grid.scale.max().item():.4g}" for grid in stated)
        return (
            f"its {kind}s do not lie on the grid of a quantiser before it (scale {scales}), nor on "
            f"any of at most {MOST_LEVELS} levels"
        )
    return (
        f"its {kind}s are not quantised to {MOST_BITS} bits or fewer: they do not lie on a grid of "
        f"at most {MOST_LEVELS} levels"
    )
