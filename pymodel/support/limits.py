"""Bounds what a layer in a user's file may ask for, in one place for all kinds of files."""

from pymodel.support.errors import InputError

# Smallest and largest value of each number of a layer's geometry, in pixels.
GEOMETRY = {
    "kernel": (1, 32),
    "stride": (1, 32),
    "padding": (0, 64),
    "dilation": (1, 64),
    "height": (1, 4096),
    "width": (1, 4096),
}
MOST_BITS = 8  # largest number of bits of a code
MOST_SUM_BITS = 32  # largest number of bits of a sum over all tiles, two's complement
MAX_BYTES = 4 << 30  # largest size of the activations and psums of all tiles in a run
ROWS = 8  # rows of the array for which the memory is estimated
PSUM_BYTES = 8  # an expected psum is an int64


def check_geometry(where: str, **values: object) -> None:
    """Raises InputError for a number of the geometry that is no whole number within its limits.

    `where` names the file, and the layer if the file has several; it begins the message.
    """
    for name, value in values.items():
        least, most = GEOMETRY[name]
        if type(value) is not int or not least <= value <= most:
            raise InputError(
                f"{where}: {name} is {value!r}, expected a whole number from {least} to {most}"
            )


def check_memory(
    where: str, images: int, channels: tuple[int, int], positions: int, pixels: int
) -> None:
    """Raises InputError if a run would need more memory than MAX_BYTES.

    `channels` are the numbers of output and input channels; each of the `positions` of the kernel
    streams `pixels` pixels of each image.
    """
    outputs, inputs = channels
    tiles = positions * -(-inputs // ROWS)
    needed = images * pixels * tiles * (ROWS + outputs * PSUM_BYTES)
    if needed > MAX_BYTES:
        raise InputError(
            f"{where}: {images} images of {inputs} → {outputs} channels, {positions} kernel "
            f"positions and {pixels:,} pixels need {needed / 2**30:.1f} GiB, expected "
            f"{MAX_BYTES >> 30} or less"
        )
