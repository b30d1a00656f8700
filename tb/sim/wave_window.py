"""Cuts a waveform to fewer cycles, and distinguishes a whole waveform from a part."""

from pathlib import Path

from pylibfst import ffi, lib
from pylibfst.helpers import fstReaderIterBlocks

from pymodel.support.errors import InputError
from pymodel.support.files import replacing

HEADER, GEOMETRY = 0, 3  # types of blocks of an FST file; a writer adds the latter at its end


def check_waveform(path: Path) -> None:
    """Raises InputError unless FST file `path` is whole; writers of such files ignore a full disk.

    An FST file is a row of blocks. Each block begins with its type (a byte) and its length (8
    bytes, big-endian; the length counts its own 8 bytes).
    """
    types, end, size = set(), 0, path.stat().st_size
    with path.open("rb") as file:
        while end < size:
            file.seek(end)
            kind, *length = file.read(9)
            types.add(kind)
            if len(length) < 8 or not (step := int.from_bytes(bytes(length), "big")):
                break
            end += 1 + step
    if end != size or not types >= {HEADER, GEOMETRY}:
        raise InputError(f"{path}: is no whole waveform; is the disk full?")


def cut_waveform(source: Path, target: Path, start: int, end: int) -> None:
    """Writes the part of FST file `source` from time `start` to time `end` to `target`.

    Times are in the file's own unit. Raises InputError if `source` is no FST file.
    """
    reader = lib.fstReaderOpen(str(source).encode())
    if reader == ffi.NULL:
        raise InputError(f"{source}: is no waveform in FST format")
    try:
        with replacing(target) as temporary:
            writer = lib.fstWriterCreate(str(temporary).encode(), 1)
            try:
                _copy(reader, writer, start, end)
            finally:
                lib.fstWriterClose(writer)
                # The writer leaves its hierarchy beside the file if that is not packed in.
                temporary.with_name(temporary.name + ".hier").unlink(missing_ok=True)
            check_waveform(temporary)
    finally:
        lib.fstReaderClose(reader)


def _copy(reader, writer, start: int, end: int) -> None:
    """Copies the hierarchy, the values at `start`, and all changes after it up to `end`."""
    lib.fstWriterSetTimescale(writer, lib.fstReaderGetTimescale(reader))
    handles = _copy_hierarchy(reader, writer)
    lib.fstWriterEmitTimeChange(writer, start)
    value = ffi.new("char[]", 1 << 16)
    for old, new in handles.items():
        found = lib.fstReaderGetValueFromHandleAtTime(reader, start, old, value)
        if found != ffi.NULL:
            lib.fstWriterEmitValueChange(writer, new, found)

    now = start

    def change(_, time: int, handle: int, text: bytes) -> None:
        nonlocal now
        if not start < time <= end:  # a block of the file may hold more than was asked for
            return
        if time != now:
            lib.fstWriterEmitTimeChange(writer, time)
            now = time
        lib.fstWriterEmitValueChange(writer, handles[handle], text)

    lib.fstReaderSetFacProcessMaskAll(reader)
    lib.fstReaderSetLimitTimeRange(reader, start, end)
    fstReaderIterBlocks(reader, change)
    if now < end:
        lib.fstWriterEmitTimeChange(writer, end)


def _copy_hierarchy(reader, writer) -> dict[int, int]:
    """Copies scopes and variables, aliases too; returns the reader's handles → the writer's."""
    handles: dict[int, int] = {}
    lib.fstReaderIterateHierRewind(reader)
    while (node := lib.fstReaderIterateHier(reader)) != ffi.NULL:
        if node.htyp == lib.FST_HT_SCOPE:
            scope = node.u.scope
            lib.fstWriterSetScope(writer, scope.typ, scope.name, scope.component)
        elif node.htyp == lib.FST_HT_UPSCOPE:
            lib.fstWriterSetUpscope(writer)
        elif node.htyp == lib.FST_HT_VAR:
            var = node.u.var
            new = lib.fstWriterCreateVar(
                writer, var.typ, var.direction, var.length, var.name, handles.get(var.handle, 0)
            )
            handles.setdefault(var.handle, new)
    return handles
