"""The tiles of a layer, their order and the outputs of each tile are those of the definition."""

from collections.abc import Iterator

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from pymodel.hardware.core import Core, Layer, check, outputs_reached
from pymodel.hardware.registers import Error
from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

# Cycles that the sequencer needs: from restart to prime, and from prime or take to the next take
RESTART_TO_PRIME, STEP = 4, 4


def largest_core(cols: int) -> Core:
    """Returns the core that takes the most layers."""
    return Core(1, cols, 32, 32768, 32768 // cols * cols, 256, 32768)


class Axis:
    """The rows or the columns of a layer, with their taps."""

    def __init__(self, layer: Layer, side: int, out_side: int):
        self.stride, self.padding, self.out_side = layer.stride, layer.padding, out_side
        self.reach = {
            tap: outputs_reached(tap, side, out_side, layer.stride, layer.padding)
            for tap in range(layer.kernel)
        }

    def order(self) -> list[int]:
        """Returns the taps that reach the map, in order, beginning with tap `padding` + 1.

        The taps up to `padding` follow at the end.
        """
        taps = [*self.reach][self.padding + 1 :] + [*self.reach][: self.padding + 1]
        return [tap for tap in taps if self.reach[tap]]

    def origin(self, tap: int) -> int:
        """Returns the input row or column of the first output that the tap reaches."""
        return self.reach[tap][0] * self.stride - self.padding + tap


def tiles(layer: Layer, core: Core) -> Iterator[dict[str, int]]:
    """Yields the outputs for each tile of a layer."""
    (out_height, out_width), (input_tiles, output_tiles) = layer.output_size, layer.tiles(core)
    rows, cols = Axis(layer, layer.height, out_height), Axis(layer, layer.width, out_width)
    for output_tile in range(output_tiles):
        for input_tile in range(input_tiles):
            for ky in rows.order():
                for kx in cols.order():
                    final = input_tile == input_tiles - 1 and ky == kx == layer.padding
                    reached_rows, reached_cols = rows.reach[ky], cols.reach[kx]
                    tile = output_tile * input_tiles + input_tile
                    position = (tile * layer.kernel + ky) * layer.kernel + kx
                    yield {
                        "tile_valid_o": 1,
                        "weight_address_o": position * core.cols,
                        "act_address_o": (
                            (input_tile * layer.images * layer.height + rows.origin(ky))
                            * layer.width
                            + cols.origin(kx)
                        ),
                        "pixel_o": reached_rows[0] * out_width + reached_cols[0],
                        "rows_o": out_height if final else len(reached_rows),
                        "cols_o": out_width if final else len(reached_cols),
                        "rows_outside_o": final * (out_height - len(reached_rows)),
                        "cols_outside_o": final * (out_width - len(reached_cols)),
                        "final_o": final,
                    }


def inputs(layer: Layer, core: Core) -> dict[str, int]:
    """Returns the inputs that geometry.v derives from the layer."""
    (out_height, out_width), (input_tiles, output_tiles) = layer.output_size, layer.tiles(core)
    rows, cols = Axis(layer, layer.height, out_height), Axis(layer, layer.width, out_width)
    return {
        "height_i": layer.height,
        "width_i": layer.width,
        "out_height_i": out_height,
        "out_width_i": out_width,
        "kernel_i": layer.kernel,
        "stride2_i": layer.stride == 2,
        "padding_i": layer.padding,
        "row_taps_i": sum(1 << tap for tap in rows.order()),
        "col_taps_i": sum(1 << tap for tap in cols.order()),
        "input_tiles_i": input_tiles,
        "output_tiles_i": output_tiles,
        "tile_pixels_i": layer.images * layer.height * layer.width,
        "tile_weights_i": layer.kernel**2 * core.cols,
    }


class SequencerBench:
    """The module `sequencer` with a clock; compares outputs in every cycle that defines them."""

    def __init__(self, dut):
        self.dut = dut
        self.core = largest_core(int(dut.COLS.value))
        self.rng = random_generator()
        self.expected = {}  # expected outputs of the present cycle by name

    async def start(self) -> None:
        """Starts the clock with no control active."""
        start_clock(self.dut.clk_i)
        await self.cycles(1)

    async def cycles(self, count: int, restart: int = 0, prime: int = 0, take: int = 0) -> None:
        """Runs `count` cycles with these controls, and checks that the outputs are as expected."""
        self.dut.restart_i.value = restart
        self.dut.prime_i.value = prime
        self.dut.take_i.value = take
        for _ in range(count):
            await ReadOnly()
            found = {name: int(getattr(self.dut, name).value) for name in self.expected}
            assert found == self.expected, f"{self.where}: expected {self.expected}, got {found}"
            await RisingEdge(self.dut.clk_i)

    async def idle(self, least: int) -> None:
        """Runs at least `least` idle cycles, often some more."""
        await self.cycles(least + int(self.rng.choice([0, 0, self.rng.integers(1, 9)])))

    async def restart(self, layer: Layer, take: int = 0) -> None:
        """Changes to another layer; a take may come in the only cycle of the restart."""
        for name, value in inputs(layer, self.core).items():
            getattr(self.dut, name).value = value
        await self.cycles(1, restart=1, take=take)
        self.where, self.expected = f"{layer} before prime", {"tile_valid_o": 0}
        await self.cycles(0 if take else int(self.rng.integers(3)), restart=1)
        await self.idle(RESTART_TO_PRIME - 1)

    async def walk(self, layer: Layer, stop: int | None = None) -> int:
        """Walks all tiles of the layer, or those before number `stop`; returns their number."""
        await self.cycles(1, prime=1)
        count = 0
        for count, tile in enumerate(tiles(layer, self.core), 1):
            self.where, self.expected = f"{layer}, tile {count}", tile
            await self.idle(STEP - 1)
            if count == stop:
                return count
            await self.cycles(1, take=1)
        self.where, self.expected = f"{layer} after its last tile", {"tile_valid_o": 0}
        await self.cycles(2 * STEP)
        return count


def random_layer(rng, core: Core) -> Layer:
    """Returns a layer that the core takes, with few tiles."""
    while True:
        kernel = int(rng.choice([1, 2, 3, 3, 4, 5, 6, 7]))
        longest = rng.choice([3, 9, 40, 255])
        height, width = (int(n) for n in rng.integers(1, longest + 1, 2))
        channels = rng.integers(1, 4, 2) * (core.rows, core.cols)
        layer = Layer(
            height,
            width,
            *channels.tolist(),
            kernel,
            int(rng.integers(1, 3)),
            int(rng.integers(min(kernel, 4))),
            int(rng.integers(1, 5)),
        )
        tiles = kernel**2 * layer.tiles(core)[0] * layer.tiles(core)[1]
        if check(layer, core) == Error.NONE and tiles < 120:
            return layer


@cocotb.test()
async def random_layers(dut):
    """Layers of all kinds come one after the other."""
    bench = SequencerBench(dut)
    await bench.start()
    count = 0
    for _ in range(35):
        layer = random_layer(bench.rng, bench.core)
        await bench.restart(layer)
        count += await bench.walk(layer)
    assert count > 300


@cocotb.test()
async def small_maps(dut):
    """Maps of up to 3 × 3 pixels have all kernels, strides and paddings, also large paddings."""
    bench = SequencerBench(dut)
    await bench.start()
    for kernel in range(1, 8):
        for padding in range(min(kernel, 4)):
            for number in range(18):
                height, width, stride = 1 + number % 3, 1 + number // 3 % 3, 1 + number // 9
                layer = Layer(height, width, 1, 1, kernel, stride, padding)
                if check(layer, bench.core) == Error.NONE:
                    await bench.restart(layer)
                    await bench.walk(layer)


@cocotb.test()
async def many_tiles_and_long_sides(dut):
    """Layers have 255 input tiles, 255 output tiles, the longest sides and the largest offsets."""
    bench = SequencerBench(dut)
    await bench.start()
    core = bench.core
    tiles = min(255, core.weight_words // core.cols)
    layers = [
        Layer(1, 1, tiles * core.rows, 1, 1, 1, 0, images=128),
        Layer(1, 1, 1, tiles * core.cols, 1, 1, 0),
        Layer(128, 255, 1, 1, 7, 1, 3),
        Layer(255, 124, 1, 1, 4, 1, 3),
        Layer(124, 255, 1, 1, 4, 1, 3),
        Layer(255, 128, 1, 1, 7, 2, 0),
        Layer(128, 255, 1, 1, 7, 2, 0),
    ]
    for layer in layers:
        assert check(layer, core) == Error.NONE, layer
        await bench.restart(layer)
        await bench.walk(layer)


@cocotb.test()
async def any_number_of_tiles(dut):
    """Small, large and random numbers of tiles are right, and so are the highest addresses."""
    bench = SequencerBench(dut)
    await bench.start()
    core = bench.core
    most = core.weight_words // core.cols
    layers = []
    counts = [*range(2, min(18, most)), *bench.rng.integers(2, min(255, most), 5).tolist()]
    for tiles in counts:
        layers.append(Layer(1, 1, tiles * core.rows, 2 * core.cols, 1, 1, 0))
        layers.append(Layer(1, 1, 1, tiles * core.cols, 1, 1, 0))
    # Addresses have 16 bits, more than any memory needs. One pixel: only the centre tap reaches it.
    inputs = min(255, 2**16 // (49 * core.cols))
    layers.append(Layer(1, 1, inputs * core.rows, 1, 7, 1, 3, images=2**16 // inputs))
    layers.append(Layer(1, 1, 1, inputs * core.cols, 7, 1, 3))
    for layer in layers:
        await bench.restart(layer)
        await bench.walk(layer)


@cocotb.test()
async def every_bit_of_a_tile(dut):
    """The second input tile and the second output tile begin where the first one ends."""
    bench = SequencerBench(dut)
    await bench.start()
    core = bench.core
    layers = [Layer(1, 1, 2 * core.rows, 1, 1, 1, 0, images=2**bit) for bit in range(15)]
    layers += [Layer(kernel, kernel, 1, 2 * core.cols, kernel, 1, 0) for kernel in range(1, 8)]
    for layer in layers:
        assert check(layer, core) == Error.NONE, layer
        await bench.restart(layer)
        await bench.walk(layer)


@cocotb.test()
async def restart_in_the_middle(dut):
    """After a restart anywhere, the next layer is whole; a take with the restart does not count."""
    bench = SequencerBench(dut)
    await bench.start()
    for number in range(20):
        layer = random_layer(bench.rng, bench.core)
        await bench.restart(layer)
        await bench.walk(layer, stop=int(bench.rng.integers(1, 12)))
        layer = random_layer(bench.rng, bench.core)
        await bench.restart(layer, take=number % 2)
        await bench.walk(layer)


@each_run("tb.test_sequencer")
def test_sequencer(run, simulator):
    run.on(simulator)
