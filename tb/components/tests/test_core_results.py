"""A packet of the core is taken apart; a wrong length is reported, with the first wrong beat."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pymodel.hardware.core import Core, Layer, result_vectors
from pymodel.hardware.registers import Mode
from tb.components.core_results import decode
from tb.components.packing import octets
from tb.sim.errors import BenchError

# Four input tiles, two output tiles, of which the second has one channel of four; 2 × 3 pixels, so
# that each output tile is 18 beats. `needed` beats in all.
CORE = Core(rows=2, cols=4, sum_width=24)
NEEDED = 36


def layer_of(mode: Mode) -> Layer:
    return Layer(2, 3, in_channels=7, out_channels=5, images=3, mode=mode)


def expected_of(mode: Mode) -> np.ndarray:
    """Returns results, int64 [3, 5, 2, 3], that differ from their neighbours."""
    ranges = {Mode.CODES: (0, 15), Mode.SCALED: (0, 255)}
    lowest, highest = ranges.get(mode, (-(2**23), 2**23 - 1))
    rng = np.random.default_rng(5)
    values = rng.integers(lowest, highest, (3, 5, 2, 3), endpoint=True)
    values[0, 0, 0, :2] = lowest, highest
    return values


def beat_bytes(mode: Mode) -> int:
    """Returns the bytes of a beat: four codes of 4 or of 8 bits, or four sums of 24."""
    return {Mode.CODES: 2, Mode.SCALED: 4}.get(mode, 12)


def packet(vectors: np.ndarray, mode: Mode) -> bytes:
    """Returns the bytes of beats [n, 4]."""
    return octets(vectors, 2 * beat_bytes(mode)).tobytes()


@pytest.mark.parametrize("mode", Mode)
def test_a_whole_packet(mode):
    expected = expected_of(mode)
    found = decode(packet(result_vectors(expected, CORE), mode), layer_of(mode), CORE)
    assert np.array_equal(found, expected)
    assert found.dtype == np.int64


@pytest.mark.parametrize("more", [-5, 1, 11])
def test_a_packet_that_ends_inside_a_beat(more):
    data = packet(result_vectors(expected_of(Mode.SUMS), CORE), Mode.SUMS)
    data = data[:more] if more < 0 else data + bytes(more)
    words = (
        f"{'missing' if more < 0 else 'extra'} output: {36 * 12 + more} bytes came, expected 432"
    )
    with pytest.raises(BenchError, match=words):
        decode(data, layer_of(Mode.SUMS), CORE)


def test_scaled_codes_are_signed_where_activations_are():
    """The same packet of mode SCALED, of a core of signed and one of unsigned activations."""
    expected = expected_of(Mode.SCALED) - 128
    data = packet(result_vectors(expected, CORE), Mode.SCALED)
    signed = replace(CORE, act_width=8, act_signed=1)
    assert np.array_equal(decode(data, layer_of(Mode.SCALED), signed), expected)
    assert np.array_equal(decode(data, layer_of(Mode.SCALED), CORE), expected % 256)


def test_a_mode_may_be_a_number_as_the_register_holds_it():
    expected = expected_of(Mode.CODES)
    data = packet(result_vectors(expected, CORE), Mode.CODES)
    assert np.array_equal(decode(data, layer_of(int(Mode.CODES)), CORE), expected)


@pytest.mark.parametrize("mode", [Mode.SUMS, Mode.CODES])
@pytest.mark.parametrize(("beats", "kind"), [(0, "missing"), (35, "missing"), (37, "extra")])
def test_a_wrong_length(mode, beats, kind):
    """The message gives both lengths in bytes, and no beat where nothing was expected."""
    size, layer = beat_bytes(mode), layer_of(mode)
    words = f"{kind} output: {beats * size} bytes came, expected {NEEDED * size}, {layer}"
    with pytest.raises(BenchError, match=f"^{re.escape(words)}$"):
        decode(bytes(beats * size), layer, CORE)


def begins(vectors: np.ndarray) -> str:
    """Returns where, by the message, a packet of sums begins to differ."""
    expected = expected_of(Mode.SUMS)
    with pytest.raises(BenchError) as caught:
        decode(packet(vectors, Mode.SUMS), layer_of(Mode.SUMS), CORE, expected)
    return str(caught.value).split("; the results begin to differ at ")[1]


def right_beats() -> np.ndarray:
    """Returns the beats of the expected sums; lanes without a channel hold what nobody asks for."""
    vectors = result_vectors(expected_of(Mode.SUMS), CORE).copy()
    vectors[18:, 1:] = 77
    return vectors


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "beat 0: output tile 0, image 0, pixel (0, 0)"),
        (17, "beat 17: output tile 0, image 2, pixel (1, 2)"),
        (35, "beat 35: output tile 1, image 2, pixel (1, 2)"),
    ],
)
def test_the_end_is_missing(count, words):
    assert begins(right_beats()[:count]) == words


def test_the_end_is_missing_where_zeros_were_expected():
    """Nothing came there, also no zeros."""
    expected = np.ones((3, 5, 2, 3), np.int64)
    expected[:, 4] = 0
    data = packet(result_vectors(expected, CORE)[:30], Mode.SUMS)
    with pytest.raises(BenchError, match="begin to differ at beat 30: output tile 1, image 2, "):
        decode(data, layer_of(Mode.SUMS), CORE, expected)


def test_more_came_after_the_last():
    beats = right_beats()
    assert begins(np.concatenate([beats, beats[:3]])) == "beat 36: after the last"


@pytest.mark.parametrize("count", [35, 37])
@pytest.mark.parametrize("change", [-1, 1])
def test_the_first_of_several_wrong_beats_is_told(count, change):
    """One lane of a beat is enough; lanes that hold no channel of the layer never count."""
    beats = np.concatenate([right_beats(), right_beats()])[:count]
    beats[[8, 20, 30], [2, 0, 0]] += change
    assert begins(beats) == "beat 8: output tile 0, image 1, pixel (0, 2)"
    beats = np.concatenate([right_beats(), right_beats()])[:count]
    beats[20, 0] += change
    assert begins(beats) == "beat 20: output tile 1, image 0, pixel (0, 2)"
