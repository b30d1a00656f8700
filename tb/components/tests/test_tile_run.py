"""A run that could prove nothing does not start; runs and records say where a psum belongs."""

import asyncio
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from pymodel.hardware.tiling import Tile, Tiles
from pymodel.support.errors import InputError
from tb.components.scoreboard import EMPTY, ZEROS
from tb.components.tile_run import Record, TileRun
from tb.sim.errors import BenchError


def run_of(expected: np.ndarray) -> TileRun:
    """Returns a run of one tile of 1 × 1 with these psums, int [images, 1, 1, 1]."""
    activations = np.ones((len(expected), 1, 1, 1), int)
    return TileRun(
        Tiles([Tile(0, 0, 0, 0)], np.ones((1, 1, 1), int), activations, (1, 1)), expected
    )


@pytest.mark.parametrize(("images", "words"), [(0, EMPTY), (1, ZEROS), (3, ZEROS)])
def test_nothing_or_nothing_but_zeros(images, words):
    with pytest.raises(BenchError, match=f"^{words}$"):
        asyncio.run(run_of(np.zeros((images, 1, 1, 1), int)).on(None))


def test_one_psum_that_is_not_zero_is_enough():
    """A run with one psum that is not zero is not refused; it fails later, for lack of an array."""
    psums = np.zeros((3, 1, 1, 1), int)
    psums[2] = 1
    with pytest.raises(AttributeError):
        asyncio.run(run_of(psums).on(None))


ROWS, COLS, IMAGES, SIZE = 2, 3, 2, (2, 4)  # of the run that follows; its maps are no squares
TILES = [Tile(0, 0, 1, 0), Tile(0, 1, 0, 1), Tile(2, 1, 1, 0)]


def wide_run(tiles: list[Tile] = TILES) -> TileRun:
    """Returns a run whose weights, activations and psums are all different numbers."""
    pixels = SIZE[0] * SIZE[1]
    shapes = (
        (len(tiles), ROWS, COLS),
        (IMAGES, len(tiles), pixels, ROWS),
        (IMAGES, len(tiles), pixels, COLS),
    )
    weights, activations, expected = (np.arange(np.prod(shape)).reshape(shape) for shape in shapes)
    return TileRun(Tiles(tiles, weights, activations, SIZE), expected)


def record_of(run: TileRun, **others) -> Record:
    """Returns a record of 5 right psum vectors, with `others` in place of its values."""
    values = {
        "received": np.arange(5 * COLS).reshape(5, COLS),
        "unknown": np.zeros((5, COLS), bool),
        "cycles": np.arange(20, 25),
        "widths": (4, 5, 16),
        "clock": (105, 10),
    }
    return Record(run, **(values | others))


def same(one: object, other: object) -> bool:
    """Returns whether two runs or records, or two values in them, are equal."""
    if hasattr(one, "__dataclass_fields__"):
        names = [field.name for field in fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, Tiles):
        return all(map(same, one, other))
    return type(one) is type(other) and np.array_equal(one, other)


class ArrayThatAsks:
    """An array that gives back what a run asks of it."""

    rows, cols = ROWS, COLS
    act_width, weight_width, psum_width, clock_steps = 4, 5, 16, (105, 10)

    def check_fit(self, *given) -> None:
        """Keeps the weights, the activations and the psums."""
        self.given = given

    def play(self, *playing) -> tuple:
        """Returns the weights and the activations."""
        return playing

    async def run(self, *asked, longest: int, deepest: int) -> tuple:
        """Returns what was asked."""
        return *asked, longest, deepest

    def vectors(self, board) -> np.ndarray:
        """Returns the words of the board, one column each, as vectors of equal columns."""
        return np.repeat(np.array(board.received)[:, None], COLS, axis=1)


def test_psums_are_numbered_by_image_tile_and_pixel():
    """The place of a vector is the one that four loops reach at this count."""
    run = wide_run()
    places = [
        (image, tile, y, x)
        for image in range(IMAGES)
        for tile in TILES
        for y in range(SIZE[0])
        for x in range(SIZE[1])
    ]
    assert [run.at(index) for index in range(len(places))] == places
    words = "image 1, kernel position (1, 0), input group 1, output group 0, pixel (0, 3)"
    assert run.place(8 * 3 + 8 + 3) == words


@pytest.mark.parametrize(
    ("other", "groups"),
    [
        (Tile(0, 1, 1, 0), ""),
        (Tile(0, 1, 1, 1), ", input group 0, output group 0"),
        (Tile(1, 1, 1, 0), ", input group 0, output group 0"),
    ],
)
def test_groups_are_named_where_there_are_several(other, groups):
    """Several input groups alone are enough, and so are several output groups alone."""
    first = Tile(0, 2, 1, 0)
    assert wide_run([first, other]).tile_words(first) == f"kernel position (2, 1){groups}"


def test_a_run_hands_the_array_every_image_in_turn():
    """The weights come again for each image; a vector's first channel is its group's."""
    run, array = wide_run(), ArrayThatAsks()
    played, expected, place, first_channel, *sizes = asyncio.run(run.on(array))
    weights, activations = played
    for checked, played in zip(array.given, (weights, activations, expected), strict=True):
        assert checked is played
    streams = [run.tiles.activations[i, tile] for i in range(IMAGES) for tile in range(3)]
    np.testing.assert_array_equal(weights, [run.tiles.weights[n % 3] for n in range(6)])
    np.testing.assert_array_equal(activations, streams)
    np.testing.assert_array_equal(
        expected, [run.expected[i, n, p] for i in range(IMAGES) for n in range(3) for p in range(8)]
    )
    assert place(0) == run.place(0)
    assert [first_channel(index) for index in range(0, 48, 8)] == [0, 0, 6, 0, 0, 6]
    assert sizes == [8, ROWS]


def test_a_core_gives_all_outputs_of_a_run_in_the_end():
    """What the core plays is awaited, and the run is not given up before the last output."""
    played, *_, longest, deepest = asyncio.run(wide_run().on(ArrayThatAsks(), "a core's layer"))
    assert (played, longest, deepest) == ("a core's layer", 2 * 3 * 8, ROWS)


def test_sums_have_no_kernel_position():
    sums = replace(wide_run([Tile(0, 0, 0, 0), Tile(2, 0, 0, 0)]), shows="sum")
    assert sums.place(8) == "image 0, output group 2, pixel (0, 0)"
    assert replace(wide_run([Tile(0, 0, 0, 0)]), shows="code").place(0).split(", ")[1] == "all taps"


def test_a_saved_run_is_the_one_that_loads(tmp_path):
    for run in wide_run(), replace(wide_run(), shows="sum"):
        run.save(tmp_path / "run.npz")
        assert same(TileRun.load(tmp_path / "run.npz"), run)


def test_a_saved_record_is_the_one_that_loads(tmp_path):
    unknown = np.arange(5 * COLS).reshape(5, COLS) % 4 == 0
    record = record_of(wide_run(), unknown=unknown)
    record.save(tmp_path / "record.npz")
    assert same(Record.load(tmp_path / "record.npz"), record)


def test_a_record_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="not found, expected the record of a run"):
        Record.load(tmp_path / "none.npz")


@pytest.mark.parametrize("kind", [TileRun, Record])
def test_a_file_with_python_objects_is_refused(kind, tmp_path):
    """Loading such a file could run any code: a file from elsewhere must only hold numbers."""
    arrays = wide_run().arrays() | {
        "received": np.zeros((0, COLS)),
        "unknown": np.zeros((0, COLS), bool),
        "cycles": np.zeros(0),
        "widths": np.array([4, 4, 16]),
        "clock": np.array([0, 10]),
    }
    kind.load(_saved(tmp_path / "numbers.npz", arrays))
    arrays["weights"] = arrays["weights"].astype(object)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        kind.load(_saved(tmp_path / "objects.npz", arrays))


def _saved(path, arrays):
    """Writes the arrays to `path` and returns it."""
    np.savez(path, **arrays)
    return path


def test_a_psum_is_wrong_if_it_differs_or_is_unknown():
    """A psum that differs and is unknown as well is wrong too."""
    received = np.arange(5 * COLS).reshape(5, COLS)
    received[1, 0] += 1
    received[1, 1] += 1
    unknown = np.zeros((5, COLS), bool)
    unknown[1, 1] = unknown[4, 2] = True
    record = record_of(wide_run(), received=received, unknown=unknown)
    assert np.argwhere(record.wrong()).tolist() == [[1, 0], [1, 1], [4, 2]]


def test_psums_are_read_at_an_edge_and_are_there_half_a_period_before():
    """Cycle 0 ends at 105 steps, and a period has 10."""
    record = record_of(wide_run())
    assert [record.time(cycle) for cycle in (0, 3)] == [105, 135]
    assert [record.before_edge(cycle) for cycle in (0, 3)] == [100, 130]


def test_a_record_holds_what_the_board_received():
    """Columns with X or Z are marked in their vectors; the array states its widths and clock."""
    board = SimpleNamespace(received=[7, 0, 9, 8], cycles=[20, 21, 23, 24], unknown={1: [0, 2]})
    run = wide_run()
    expected = Record(
        run,
        np.array([[7, 7, 7], [0, 0, 0], [9, 9, 9], [8, 8, 8]]),
        np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0]], bool),
        np.array([20, 21, 23, 24]),
        (4, 5, 16),
        (105, 10),
    )
    assert same(Record.of(run, ArrayThatAsks(), board), expected)
