"""Makes tile text files by plain loops, without the code that these files test."""

import random
from pathlib import Path

USUAL_HEADER = (
    "#time0row7[msb-lsb],time0row6[msb-lst],....,time0row0[msb-lst]#\n"
    "#time1row7[msb-lsb],time1row6[msb-lst],....,time1row0[msb-lst]#\n"
    "#................#\n"
)


class PlainTiles:
    """A random layer of 8 to 8 channels on a map of height × width pixels."""

    def __init__(self, height: int, width: int, seed: int = 1):
        draw = random.Random(seed)
        rows, columns = range(height + 2), range(width + 2)
        inside = {(y, x) for y in rows[1:-1] for x in columns[1:-1]}
        self.padded = [  # index: pixel, input channel
            [draw.randint(0, 15) if (y, x) in inside else 0 for _ in range(8)]
            for y in rows
            for x in columns
        ]
        self.padded[width + 3][2] = 15  # the first pixel inside
        self.weights = [  # index: kernel position, output channel, input channel
            [[draw.randint(-8, 7) for _ in range(8)] for _ in range(8)] for _ in range(9)
        ]
        self.weights[4][1][2] = -8
        self.psums = [  # index: kernel position, padded pixel, output channel
            [
                [sum(a * w for a, w in zip(pixel, column, strict=True)) for column in position]
                for pixel in self.padded
            ]
            for position in self.weights
        ]
        self.outputs = [  # index: pixel, output channel
            [
                max(
                    0,
                    sum(
                        self.padded[(y + k // 3) * (width + 2) + x + k % 3][i]
                        * self.weights[k][o][i]
                        for k in range(9)
                        for i in range(8)
                    ),
                )
                for o in range(8)
            ]
            for y in range(height)
            for x in range(width)
        ]

    def files(self) -> dict[str, list[str]]:
        """Returns the words of each file, by the name of the file."""
        weights = [[word(column, 4) for column in position] for position in self.weights]
        psums = [[word(vector, 16) for vector in position] for position in self.psums]
        return {
            "activation.txt": [word(pixel, 4) for pixel in self.padded],
            "weight.txt": [line for lines in weights for line in lines],
            **{f"weight_itile0_otile0_kij{k}.txt": lines for k, lines in enumerate(weights)},
            "psum.txt": [line for lines in psums for line in lines],
            **{f"psum_kij{k}.txt": lines for k, lines in enumerate(psums)},
            "out.txt": [word(vector, 16) for vector in self.outputs],
        }

    def write(
        self, folder: Path, header: str = USUAL_HEADER, without: tuple[str, ...] = ()
    ) -> Path:
        """Writes all files but those whose name starts with one of `without`; returns `folder`."""
        folder.mkdir(exist_ok=True)
        for name, lines in self.files().items():
            if not name.startswith(without):
                (folder / name).write_text(header + "".join(f"{line}\n" for line in lines))
        return folder


def word(values: list[int], bits: int) -> str:
    """Returns the eight numbers as one word: number 7 first, in two's complement of `bits`."""
    return "".join(format(value % 2**bits, f"0{bits}b") for value in reversed(values))
