"""FLAC files whose header may tell a wrong length or none."""

from __future__ import annotations

from secousti_native._reading.sources import Part, Source

_HEADER_BYTES = 26  # up to and with the number of samples


def untold(source: Source, start: int) -> tuple[list[Part], int]:
    """The FLAC file at ``start`` as one of unknown length, which decoders read to its end; samples promised or 0."""
    head = bytearray(source.read_at(start, _HEADER_BYTES))
    if len(head) < _HEADER_BYTES or head[4] & 0x7F != 0:
        return [(start, source.size - start)], 0
    promised = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
    head[21] &= 0xF0
    head[22:26] = bytes(4)
    return [bytes(head), (start + _HEADER_BYTES, source.size - start - _HEADER_BYTES)], promised
