"""Where the samples lie in WAV, RF64, Wave64, AIFF and AU files, whatever their headers say of sizes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from secousti_native._reading.report import Report
from secousti_native._reading.sources import Part, Source

# Sizes from here on mean "unknown" where the file is shorter: what programs write to pipes (ffmpeg 0xFFFFFFFF,
# SoX 0x7FFFF000, arecord 0x7FFFFFFF and 0x80000000).
_PLACEHOLDER = 0x7FFF0000
_MAX_SIZE = 0xFFFFFFFF  # that 32 bits tell
_UNKNOWN = b"\xff\xff\xff\xff"
_WAVES = (b"RIFF", b"RF64", b"BW64")
_W64_RIFF = b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\x00\x00"


def is_wave(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is WAV, RF64 or BW64."""
    return head[:4] in _WAVES and head[8:12] == b"WAVE"


def waves(source: Source, start: int, report: Report) -> Iterator[list[Part]]:
    """Each of the joined WAV files in ``source`` from ``start`` as a file that libsndfile reads to its end."""
    at = start
    while at < source.size:
        parts, at = _wave(source, at, report)
        yield parts


def _wave(source: Source, start: int, report: Report) -> tuple[list[Part], int]:
    """One WAV file from ``start`` as a header with true sizes and its data; where it ends."""
    head = source.read_at(start, 12)
    at, long_size = start + 12, -1
    chunks: list[Part] = []
    has_format = False
    while True:
        name, size = _chunk(source, at, "<I")
        if name == b"":
            raise report.error("damaged: ends before its samples begin" if has_format else "damaged: a WAV header only")
        if name == b"data":
            break
        if name == b"ds64" and head[:4] != b"RIFF":
            long_size = struct.unpack("<Q", source.read_at(at + 16, 8).ljust(8, b"\0"))[0]
        if name == b"fmt ":
            has_format = True
            chunks.append((at, 8 + size + size % 2))
        elif name == b"fact":
            chunks.append((at, 8 + size + size % 2))
        at += 8 + size + size % 2
    if not has_format:
        raise report.error("damaged: a WAV file without a format")
    first = at + 8
    length, end = _extent(source, first, long_size if size == _MAX_SIZE and long_size > 0 else size, report)
    if length < _MAX_SIZE:
        return [b"RIFF" + _UNKNOWN + b"WAVE", *chunks, b"data" + struct.pack("<I", length), (first, length)], end
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, length + (1 << 16), length, 0, 0)
    return [b"RF64" + _UNKNOWN + b"WAVE", ds64, *chunks, b"data" + _UNKNOWN, (first, length)], end


def _extent(source: Source, first: int, size: int, report: Report) -> tuple[int, int]:
    """How many bytes of samples there are from ``first``, of which ``size`` are promised; where the file goes on."""
    there = source.size - first
    if size > there:
        if size < _PLACEHOLDER or size > _MAX_SIZE:
            report.damage(f"holds {there} of the {size} bytes of samples that its header promises")
        return there, source.size
    for pad in (size % 2, 0):
        after = first + size + pad
        if size > 0 or after < source.size:
            found = _chain(source, after)
            if found is not None:
                return size, found
    rest = source.size - first - size
    if rest == 0:
        return size, source.size
    if size > 0 and not any(source.read_at(first + size, min(rest, 4096))) and rest <= 4096:
        return size, source.size  # padding
    if size > 0:
        report.note(f"its header tells of {size} bytes of samples, {there} are there and were taken")
    return there, source.size


def _chain(source: Source, at: int) -> int | None:
    """The end of the chunks from ``at`` to the end of the file or to another WAV file; None if these are no chunks."""
    while at < source.size:
        if is_wave(source.read_at(at, 12)):
            return at
        name, size = _chunk(source, at, "<I")
        if name[:3] in (b"TAG", b"ID3") or name == b"APET":  # tags of MP3 files, at the end of some WAV files
            return source.size
        if len(name) != 4 or not all(32 <= byte < 127 for byte in name) or at + 8 + size > source.size:
            return None
        at += 8 + size + size % 2
    return source.size


def _chunk(source: Source, at: int, order: str) -> tuple[bytes, int]:
    """Name and size of the chunk at ``at``; an empty name at the end."""
    head = source.read_at(at, 8)
    return (head[:4], struct.unpack(order, head[4:])[0]) if len(head) == 8 else (b"", 0)


def check_size(source: Source, head: bytes, report: Report) -> None:
    """Damage if an AIFF, AU or Wave64 file holds less than its header promises, or another file follows it."""
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        promised, following = _chunk(source, 0, ">I")[1] + 8, b"FORM"
    elif head[:4] == b".snd" and len(head) >= 12:
        offset, size = struct.unpack(">II", head[4:12])
        if size >= _PLACEHOLDER:
            return
        promised, following = offset + size, b".snd"
    elif head[:16] == _W64_RIFF and len(head) >= 24:
        promised, following = struct.unpack("<Q", head[16:24])[0], _W64_RIFF
    elif head[:4] == b"caff":
        promised, following = _caf_size(source), b"caff"
    else:
        return
    if promised > source.size + 1:  # the last chunk's padding is often left out
        report.damage(f"holds {source.size} of the {promised} bytes that its header promises")
    for pad in (0, promised % 2):
        if source.read_at(promised + pad, len(following)) == following:
            raise report.error("several files joined; only WAV, MP3 and Ogg files are read like that")


def _caf_size(source: Source) -> int:
    """Where the last chunk of a CAF file ends, as far as sizes are told."""
    at = 8
    while len(head := source.read_at(at, 12)) == 12:
        size = struct.unpack(">q", head[4:])[0]
        if size < 0 or head[:4] == b"caff":
            break
        at += 12 + size
    return at
