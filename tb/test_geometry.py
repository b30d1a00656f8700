"""Sizes and errors that follow from a layer's registers are those of the definition."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from pymodel.hardware.core import TABLE_MODES, Core, Layer, check, packet_lengths
from pymodel.hardware.registers import Error
from tb.components import cover_points
from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

CYCLES = 4  # number of cycles from the registers to the outputs


def job(core: Core, inputs: int = 1, outputs: int = 1, **layer: int) -> Layer:
    """Returns a layer of these numbers of tiles; by default with one pixel and a 1 × 1 kernel."""
    sizes = {"height": 1, "width": 1, "kernel": 1, "padding": 0} | layer
    return Layer(in_channels=inputs * core.rows, out_channels=outputs * core.cols, **sizes)


def registers(layer: Layer, core: Core) -> dict[str, int]:
    """Returns the inputs that describe the layer."""
    inputs, outputs = layer.tiles(core)
    return {
        "height_i": layer.height,
        "width_i": layer.width,
        "kernel_i": layer.kernel,
        "stride_i": layer.stride,
        "padding_i": layer.padding,
        "input_tiles_i": inputs,
        "output_tiles_i": outputs,
        "images_i": layer.images,
        "mode_i": layer.mode,
        "pool_i": layer.pool,
    }


def taps(layer: Layer, side: int, out_side: int) -> int:
    """Returns the kernel rows, a bit each, that meet a row of the map in some output row."""
    reached = [
        any(0 <= o * layer.stride - layer.padding + tap < side for o in range(out_side))
        for tap in range(layer.kernel)
    ]
    return sum(1 << tap for tap, any_row in enumerate(reached) if any_row)


def output_sides(layer: Layer) -> dict[str, int]:
    """Returns the sides of the output, 9 bits, from the lower 8 bits of the map's sides.

    The result is empty if kernel, stride or padding is out of its range.
    """
    if not (layer.padding < layer.kernel < 8 and layer.padding < 4 and layer.stride in (1, 2)):
        return {}
    more = 2 * layer.padding - layer.kernel + layer.stride
    return {
        f"out_{name}_o": (getattr(layer, name) % 256 + more) % 512 // layer.stride
        for name in ("height", "width")
    }


def outputs(layer: Layer, core: Core) -> dict[str, int]:
    """Returns the expected outputs; sizes are left out if a register is out of its range.

    A layer that is too large for a memory shows bits that are never set for a layer that fits. The
    sides of the output are known for any map.
    """
    error = check(layer, core)
    if Error.NONE < error < Error.OVERFLOW:
        return {"error_o": error} | output_sides(layer)
    (out_height, out_width), (input_tiles, output_tiles) = layer.output_size, layer.tiles(core)
    needed = packet_lengths(layer, core)
    return {
        "error_o": error,
        "height_o": layer.height,
        "width_o": layer.width,
        "out_height_o": out_height,
        "out_width_o": out_width,
        "kernel_o": layer.kernel,
        "stride2_o": layer.stride == 2,
        "padding_o": layer.padding,
        "row_taps_o": taps(layer, layer.height, out_height),
        "col_taps_o": taps(layer, layer.width, out_width),
        "input_tiles_o": input_tiles,
        "output_tiles_o": output_tiles,
        "mode_o": layer.mode,
        "pool_o": layer.pool,
        "images_o": layer.images,
        "map_pixels_o": layer.height * layer.width,
        "tile_pixels_o": layer.images * layer.height * layer.width,
        "out_map_pixels_o": out_height * out_width,
        "out_tile_pixels_o": layer.images * out_height * out_width,
        "tile_weights_o": layer.kernel**2 * core.cols,
        "weight_words_o": needed.weights,
        "act_words_o": needed.acts,
        "threshold_words_o": needed.thresholds,
    }


class GeometryBench:
    """The module `geometry` with its clock and its parameters."""

    def __init__(self, dut):
        self.dut = dut
        self.core = Core(**{n: int(getattr(dut, n.upper()).value) for n in vars(Core())})

    async def start(self) -> None:
        """Starts the clock."""
        start_clock(self.dut.clk_i)
        await RisingEdge(self.dut.clk_i)

    def offer(self, layer: Layer, load: int) -> None:
        """Sets the inputs to the layer's registers, and `load_i` to `load`."""
        for name, value in registers(layer, self.core).items():
            getattr(self.dut, name).value = value
        self.dut.load_i.value = load

    async def check(self, layer: Layer) -> Error:
        """Writes a layer's registers and checks the outputs 4 cycles later; returns the error."""
        self.offer(layer, load=1)
        for _ in range(CYCLES):
            await RisingEdge(self.dut.clk_i)
        await ReadOnly()
        self.compare(layer)
        error = Error(int(self.dut.error_o.value))
        await RisingEdge(self.dut.clk_i)
        return error

    def compare(self, layer: Layer) -> None:
        """Checks that the outputs are those of this layer."""
        for name, expected in outputs(layer, self.core).items():
            handle = getattr(self.dut, name)
            found, expected = int(handle.value), int(expected) % 2 ** len(handle)
            assert found == expected, f"{name}: expected {expected}, got {found}, {layer}"


def single_limits(core: Core) -> Iterator[tuple[Error, Layer, Layer]]:
    """Yields the limits of one register: error, a layer just inside and one just outside."""
    layer = job(core, height=9, width=9, kernel=7, padding=3)
    for name, largest in (("height", 255), ("width", 255), ("images", 65535)):
        yield Error.SIZE, replace(layer, **{name: 1}), replace(layer, **{name: 0})
        yield Error.SIZE, *(replace(layer, **{name: n}) for n in (largest, largest + 1))
    for name in ("inputs", "outputs"):
        yield Error.SIZE, job(core, **{name: 1}), job(core, **{name: 0})
        yield Error.SIZE, job(core, **{name: 255}), job(core, **{name: 256})
    yield Error.SIZE, job(core, kernel=1), job(core, kernel=0)
    yield Error.KERNEL, layer, replace(layer, kernel=8)
    for name in ("height", "width"):
        fits = replace(layer, padding=2, **{name: 3})
        yield Error.KERNEL, fits, replace(fits, **{name: 2})
    yield Error.STRIDE, replace(layer, stride=1), replace(layer, stride=0)
    yield Error.STRIDE, replace(layer, stride=2), replace(layer, stride=3)
    yield Error.PADDING, layer, replace(layer, padding=4)
    yield Error.PADDING, job(core, kernel=3, padding=2), job(core, kernel=3, padding=3)
    for mode in range(16):
        if mode not in core.modes:
            yield Error.MODE, replace(layer, mode=core.modes[mode % 3]), replace(layer, mode=mode)


def pool_limits(core: Core) -> Iterator[Layer]:
    """Yields layers that are pooled, of every mode, with sides around what can be pooled."""
    widths = {1, 2, 3, core.pool_width, core.pool_width + 1, core.pool_width + 2, 254, 255} - {0}
    for mode, width, height in itertools.product(core.modes, sorted(widths), (1, 2, 3, 254)):
        if width * height <= core.pixels and width < 256:
            yield replace(job(core, height=height, width=width, mode=mode), pool=1)


def memory_limits(core: Core) -> Iterator[tuple[Error, Callable[[Layer], int], list[Layer]]]:
    """Yields each error that depends on a parameter, the size it limits, and layers around it."""
    tiles = range(1, 256)

    def around(limit: int, part: int) -> Iterator[int]:
        """Yields the largest number of parts of size `part` within `limit`, and one more."""
        return (n for n in (limit // part, limit // part + 1) if n)

    yield (
        Error.OVERFLOW,
        lambda layer: layer.in_channels * layer.kernel**2,
        [job(core, n, kernel=k, padding=k // 2) for k in range(1, 8) for n in tiles],
    )
    yield (
        Error.WEIGHT_MEMORY,
        lambda layer: packet_lengths(layer, core).weights,
        [job(core, n, m) for n in tiles for m in around(core.weight_words // core.cols, n)],
    )
    yield (
        Error.ACT_MEMORY,
        lambda layer: packet_lengths(layer, core).acts,
        [job(core, n, images=m) for n in tiles for m in around(core.act_words, n)],
    )
    yield (
        Error.ACCUMULATOR,
        lambda layer: layer.images * layer.output_size[0] * layer.output_size[1],
        [
            job(core, height=height, width=width, kernel=4, padding=3, images=images)
            for height in range(1, 13)
            for width in range(1, 13)
            for images in around(core.pixels, (height + 3) * (width + 3))
        ],
    )
    yield (
        Error.THRESHOLD_MEMORY,
        lambda layer: layer.out_channels,
        [job(core, outputs=n, mode=m) for n in tiles for m in core.modes if m in TABLE_MODES],
    )


@cocotb.test()
async def every_limit_of_a_register(dut):
    """A layer at a limit does not get the limit's error; a layer one beyond the limit gets it."""
    bench = GeometryBench(dut)
    await bench.start()
    for error, inside, outside in single_limits(bench.core):
        assert await bench.check(inside) != error, inside
        assert await bench.check(outside) == error, outside


@cocotb.test()
async def every_limit_of_a_memory(dut):
    """The largest layer that fits a memory passes, and the smallest that does not fit fails."""
    bench = GeometryBench(dut)
    await bench.start()
    reached = set()
    for error, size, layers in memory_limits(bench.core):
        found = [(check(layer, bench.core), layer) for layer in layers]
        fitting = [layer for e, layer in found if e == Error.NONE or e > error]
        await bench.check(max(fitting, key=size))
        too_large = [layer for e, layer in found if e == error]
        if too_large:
            assert await bench.check(min(too_large, key=size)) == error
            reached.add(error)
    # With the large parameters no layer has too many psums or thresholds.
    assert len(reached) == (3 if bench.core.sum_width == 32 else 5)


@cocotb.test()
async def what_can_be_pooled(dut):
    """Codes with an even output that is not too wide; what can be pooled can run otherwise too."""
    bench = GeometryBench(dut)
    await bench.start()
    errors = {}
    for layer in pool_limits(bench.core):
        errors.setdefault(await bench.check(layer), []).append(layer)
        await bench.check(replace(layer, pool=0))
    assert set(errors) == {Error.POOLING, *([Error.NONE] if bench.core.pool_width else [])}


@cocotb.test()
async def every_bit_of_every_register(dut):
    """Flipping any one bit gives another layer or an error: no bit is ignored."""
    bench = GeometryBench(dut)
    await bench.start()
    base = job(bench.core, 1, 1, height=3, width=5, kernel=3, stride=2, padding=1, images=1)
    widths = {
        "height": 16,
        "width": 16,
        "kernel": 8,
        "stride": 8,
        "padding": 8,
        "images": 32,
        "mode": 4,
        "pool": 1,
    }
    for name, width in widths.items():
        for bit in range(width):
            await bench.check(replace(base, **{name: getattr(base, name) ^ 1 << bit}))
    for bit in range(16):
        await bench.check(job(bench.core, images=2**16 - 2**bit))
    for bit in range(8):
        for name in ("height", "width", "inputs", "outputs"):
            await bench.check(job(bench.core, **{name: 2**8 - 2**bit}))
    for bit in range(16):
        await bench.check(job(bench.core, inputs=1 ^ 1 << bit))
        await bench.check(job(bench.core, outputs=1 ^ 1 << bit))


@cocotb.test()
async def sizes_that_are_powers_of_two(dut):
    """A product is not taken for small because its lowest bits are zeros."""
    bench = GeometryBench(dut)
    await bench.start()
    core = bench.core
    inputs = 64 if core.cols > 4 else 128  # so that there are neither too many psums nor tiles
    for layer, error in (
        (job(core, inputs, 2**16 // (inputs * core.cols)), Error.WEIGHT_MEMORY),
        (job(core, height=4, width=4, images=2**12), Error.ACT_MEMORY),
        (job(core, height=16, width=32, images=2**15), Error.ACT_MEMORY),
        (job(core, 64, height=32, width=64, images=2**15), Error.ACT_MEMORY),
        (job(core, kernel=4, padding=3, images=2**12), Error.ACCUMULATOR),
        (job(core, kernel=4, padding=3, images=core.act_words), Error.ACCUMULATOR),
    ):
        assert await bench.check(layer) == error, layer


def max_psums(core: Core) -> int:
    """Returns the number of psums that fit in a sum, whatever they are."""
    return (2 ** (core.sum_width - 1) - 2) // core.max_psum


def factors(low: int, high: int, most: tuple[int, int]) -> tuple[int, int] | None:
    """Returns a and b, 1 ≤ a ≤ most[0] and 1 ≤ b ≤ most[1], with low ≤ a · b < high, or None."""
    for one in range(most[0], 0, -1):
        other = -(-low // one)
        if other <= most[1] and one * other < high:
            return one, other
    return None


def just_above(bit: int, limit: int, times: int, most: tuple[int, int]) -> tuple[int, int] | None:
    """Returns a and b with 2 ** bit ≤ times · a · b ≤ 2 ** bit + limit, or None; see `factors`.

    Without the highest bit, the product is within the limit.
    """
    return factors(-(-(2**bit) // times), -(-(2**bit + limit + 1) // times), most)


@cocotb.test()
async def every_bit_of_every_product(dut):
    """Layers that are too large by one bit of a product, and would fit without it, are refused."""
    bench = GeometryBench(dut)
    await bench.start()
    core = bench.core
    layers = []
    for bit in range(10, 32):
        if found := just_above(bit, core.act_words, 1, (255, 65535)):
            layers.append(job(core, found[0], images=found[1]))
        for width in (1, 255):
            if found := just_above(bit, core.act_words, width, (255, 65535)):
                layers.append(job(core, width=width, height=found[0], images=found[1]))
        for kernel in (1, 2, 3, 5, 7):
            # With more input tiles there would be too many psums, too.
            most = (min(255, max_psums(core) // kernel**2), 255)
            if found := just_above(bit, core.weight_words, kernel**2 * core.cols, most):
                layers.append(job(core, *found, kernel=kernel, padding=min(kernel // 2, 3)))
        for images in (2**bit, 2**bit // 16):
            layers.append(job(core, images=images, kernel=4, padding=3))
    for layer in layers:
        await bench.check(layer)
    assert len(layers) > 100


def beside(limit: int, bit: int) -> tuple[list[int], list[int]]:
    """Returns sizes within a limit that are beyond it with this bit flipped, and the reverse."""
    within = range(max(limit + 1 - 2**bit, 1), limit + 1)
    beyond = range(limit + 1, limit + 2**bit + 1)
    return (
        [size for size in within if size ^ 1 << bit > limit],
        [size for size in beyond if size ^ 1 << bit <= limit],
    )


@cocotb.test()
async def every_bit_of_every_limit(dut):
    """Each bit of a size that is compared with a limit decides whether some layer passes."""
    bench = GeometryBench(dut)
    await bench.start()
    core = bench.core

    def weights(size: int) -> Iterator[Layer]:
        for kernel in range(1, 8):
            times = kernel**2 * core.cols
            most = (min(255, max_psums(core) // kernel**2), 255)
            if size % times == 0 and (found := factors(size // times, size // times + 1, most)):
                yield job(core, *found, kernel=kernel, padding=kernel // 2)

    def images(size: int) -> Iterator[Layer]:
        yield job(core, images=size)

    def tiles(size: int) -> Iterator[Layer]:
        modes = [mode for mode in core.modes if mode in TABLE_MODES]
        yield from (job(core, outputs=size, mode=mode) for mode in modes if size < 256)

    limits = (
        (core.weight_words, weights),
        (core.act_words, images),
        (core.pixels, images),
        (core.threshold_tiles, tiles),
    )
    for limit, layers in limits:
        for bit, side in itertools.product(range(16), (0, 1)):
            found = (layer for size in beside(limit, bit)[side] for layer in layers(size))
            for layer in itertools.islice(found, 8):
                await bench.check(layer)


@cocotb.test()
async def every_short_side(dut):
    """The taps that reach the map are right for each kernel, stride and padding, on short sides."""
    bench = GeometryBench(dut)
    await bench.start()
    for (kernel, stride, padding), side in itertools.product(cover_points.LAYERS, range(1, 10)):
        for height, width in ((side, 9), (9, side)):
            sizes = {"height": height, "width": width, "kernel": kernel, "padding": padding}
            await bench.check(job(bench.core, stride=stride, **sizes))


@cocotb.test()
async def refused_kernels_without_taps(dut):
    """A kernel whose three lowest bits are 0 has no taps."""
    bench = GeometryBench(dut)
    await bench.start()
    for kernel in (0, 8, 64):
        await bench.check(job(bench.core, height=9, width=9, kernel=kernel))
        assert (int(dut.row_taps_o.value), int(dut.col_taps_o.value)) == (0, 0)


@cocotb.test()
async def the_largest_layer(dut):
    """All sizes are at their limits, and no product of them is cut."""
    bench = GeometryBench(dut)
    await bench.start()
    layer = job(bench.core, 255, 255, height=255, width=255, kernel=7, padding=3, images=65535)
    assert await bench.check(layer) in (Error.OVERFLOW, Error.WEIGHT_MEMORY)
    layer = replace(layer, in_channels=bench.core.rows, kernel=4)
    assert await bench.check(layer) in (Error.WEIGHT_MEMORY, Error.ACT_MEMORY)


@cocotb.test()
async def maps_of_the_longest_sides(dut):
    """Sides of 255 pixels (258 at the output) and powers of two are right, and not taken as 0."""
    bench = GeometryBench(dut)
    await bench.start()
    for height, width in ((255, 124), (124, 255)):
        for stride in (1, 2):
            layer = job(bench.core, height=height, width=width, kernel=4, stride=stride, padding=3)
            await bench.check(layer)
    for bit in range(3, 9):
        for padding in range(4):
            for more in (0, 1):
                side = 2**bit - 2 * padding + more
                if 0 < side < 256:
                    await bench.check(
                        job(bench.core, height=side, width=9, kernel=7, padding=padding)
                    )
                    await bench.check(
                        job(bench.core, height=9, width=side, kernel=7, padding=padding)
                    )


def random_layer(rng, core: Core) -> Layer:
    """Returns a layer that the core often takes; in some layers registers hold any number."""
    wild = rng.choice((0, 0, 0.1, 0.4))

    def number(bits: int, *sizes: int) -> int:
        if rng.random() < wild:
            return int(rng.integers(2 ** rng.integers(1, bits + 1)))
        return int(rng.integers(1, rng.choice(sizes) + 1))

    kernel = number(8, 3, 7)
    return job(
        core,
        number(16, 1, 2, 8),
        number(16, 1, 2, 8),
        height=number(16, 3, 8, 30, 255),
        width=number(16, 3, 8, 30, 255),
        kernel=kernel,
        stride=number(8, 2),
        padding=max(number(8, *range(1, min(max(kernel, 1), 4) + 1)) - 1, 0),
        images=number(32, 1, 1, 4, 60),
        mode=max(number(4, 3, 5) - 1, 0),
        pool=int(rng.random() < 0.2),
    )


def full_layer(rng, core: Core) -> Layer:
    """Returns a layer with every register anywhere in its range; few such layers fit the core."""
    kernel = int(rng.integers(1, 8))
    height, width, inputs, outputs = map(int, rng.integers(1, 256, 4))
    return job(
        core,
        inputs,
        outputs,
        height=max(height, kernel),
        width=max(width, kernel),
        kernel=kernel,
        stride=int(rng.integers(1, 3)),
        padding=int(rng.integers(min(kernel, 4))),
        images=int(rng.integers(1, 2**16)),
        mode=int(rng.choice(core.modes)),
    )


@cocotb.test()
async def random_layers(dut):
    """Sizes and errors of random layers of all kinds are right."""
    bench = GeometryBench(dut)
    await bench.start()
    rng = random_generator()
    errors = [await bench.check(random_layer(rng, bench.core)) for _ in range(800)]
    assert errors.count(Error.NONE) > 50
    for _ in range(400):
        await bench.check(full_layer(rng, bench.core))


@cocotb.test()
async def outputs_hold_without_load(dut):
    """While load is low, registers change no output; four cycles after it rises, all are new."""
    bench = GeometryBench(dut)
    await bench.start()
    rng = random_generator()
    held = []
    for kernel, stride, padding in cover_points.LAYERS:  # on maps that not all taps reach
        sides = rng.integers(max(kernel - 2 * padding, 1), kernel + 2, 2).tolist()
        sizes = {"height": sides[0], "width": sides[1], "kernel": kernel, "padding": padding}
        held += [job(bench.core, stride=stride, **sizes)]
    held += [make(rng, bench.core) for make in 50 * (random_layer, full_layer)]
    for layer in held:
        await bench.check(layer)
        for _ in range(rng.integers(1, 4)):
            bench.offer(random_layer(rng, bench.core), load=0)
            for _ in range(rng.integers(1, 8)):
                await RisingEdge(dut.clk_i)
                await ReadOnly()
                bench.compare(layer)
            await RisingEdge(dut.clk_i)


@each_run("tb.test_geometry")
def test_geometry(run, simulator):
    run.on(simulator)
