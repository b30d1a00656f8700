"""The core's registers. Generated from rtl/core.rdl by `make registers`: change that."""

from enum import IntEnum

from pymodel.hardware.register_fields import Field, Register


class Error(IntEnum):
    """STATUS.error."""

    NONE = 0  # No error
    SIZE = 1  # A size is 0, a map side or number of tiles above 255, or images above 65535
    KERNEL = 2  # The kernel is above 7, or larger than the padded map
    STRIDE = 3  # The stride is neither 1 nor 2
    PADDING = 4  # The padding is above 3, or not smaller than the kernel
    MODE = 5  # The output mode is unknown
    OVERFLOW = 6  # A sum might not fit in SUM.width bits
    WEIGHT_MEMORY = 7  # The weights of all tiles do not fit in a bank
    ACT_MEMORY = 8  # The activations of all images do not fit in a bank
    ACCUMULATOR = 9  # The output pixels of all images do not fit in the accumulator
    THRESHOLD_MEMORY = 10  # The thresholds of all output tiles do not fit in a bank
    PACKET_LENGTH = 11  # A packet was not as long as the layer needs: dropped, nothing computed
    START_WHILE_BUSY = 12  # A start was refused because a layer was running; that layer went on
    POOLING = 13  # Only codes (CODES) of an even height and width can be pooled; see OPTIONS


class Mode(IntEnum):
    """OUTPUT.mode."""

    SUMS = 0  # Integer sums, a signed lane of SUM.width bits per output channel
    RELU = 1  # Sums after ReLU, in the same lanes
    CODES = 2  # 4-bit codes, by thresholds, in the lowest 4 · COLS bits (see TKEEP)
    SCALED = 4  # 8-bit codes, scaled, in the lowest 8 · COLS bits; see OPTIONS


VERSION = Register(0x00, {"minor": Field(0, 16, "r", 1), "major": Field(16, 16, "r", 1)})
ARRAY = Register(
    0x04,
    {
        "rows": Field(0, 8, "r", None),
        "cols": Field(8, 8, "r", None),
        "act_width": Field(16, 8, "r", None),
        "weight_width": Field(24, 8, "r", None),
    },
)
MEMORY_ACT = Register(0x08, {"words": Field(0, 32, "r", None)})
MEMORY_WEIGHT = Register(0x0C, {"words": Field(0, 32, "r", None)})
MEMORY_THRESHOLD = Register(0x10, {"tiles": Field(0, 32, "r", None)})
MEMORY_PIXEL = Register(0x14, {"pixels": Field(0, 32, "r", None)})
SUM = Register(0x18, {"width": Field(0, 32, "r", None)})
OPTIONS = Register(
    0x1C,
    {
        "act_signed": Field(0, 1, "r", None),
        "output_scaling": Field(1, 1, "r", None),
        "pool_width": Field(8, 8, "r", None),
    },
)
CONTROL = Register(0x20, {"start": Field(0, 1, "w", 0), "clear": Field(1, 1, "w", 0)})
STATUS = Register(
    0x24, {"busy": Field(0, 1, "r", 0), "done": Field(1, 1, "r", 0), "error": Field(4, 4, "r", 0)}
)
CYCLES = Register(0x28, {"count": Field(0, 32, "r", 0)})
STALLS = Register(0x2C, {"count": Field(0, 32, "r", 0)})
MAP = Register(0x40, {"height": Field(0, 16, "rw", 0), "width": Field(16, 16, "rw", 0)})
KERNEL = Register(
    0x44,
    {
        "size": Field(0, 8, "rw", 0),
        "stride": Field(8, 8, "rw", 0),
        "padding": Field(16, 8, "rw", 0),
    },
)
TILES = Register(0x48, {"input": Field(0, 16, "rw", 0), "output": Field(16, 16, "rw", 0)})
IMAGES = Register(0x4C, {"count": Field(0, 32, "rw", 0)})
OUTPUT = Register(
    0x50,
    {
        "mode": Field(0, 4, "rw", 0),
        "pool": Field(4, 1, "rw", 0),
        "keep_acts": Field(8, 1, "rw", 0),
        "keep_weights": Field(9, 1, "rw", 0),
        "keep_thresholds": Field(10, 1, "rw", 0),
    },
)
REGISTERS = {
    "VERSION": VERSION,
    "ARRAY": ARRAY,
    "MEMORY_ACT": MEMORY_ACT,
    "MEMORY_WEIGHT": MEMORY_WEIGHT,
    "MEMORY_THRESHOLD": MEMORY_THRESHOLD,
    "MEMORY_PIXEL": MEMORY_PIXEL,
    "SUM": SUM,
    "OPTIONS": OPTIONS,
    "CONTROL": CONTROL,
    "STATUS": STATUS,
    "CYCLES": CYCLES,
    "STALLS": STALLS,
    "MAP": MAP,
    "KERNEL": KERNEL,
    "TILES": TILES,
    "IMAGES": IMAGES,
    "OUTPUT": OUTPUT,
}
