"""Ogg files: the links of chains, which are streams one after the other, and pages that are missing."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from secousti_native._reading.report import Report
from secousti_native._reading.sources import Part, Source

_CONTINUED, _FIRST, _LAST = 1, 2, 4
_WINDOW = 1 << 16


@dataclass
class Link:
    """One of the streams that a chained file consists of."""

    codec: bytes
    """The first bytes of its first packet."""
    serials: set[int]
    parts: list[Part] = field(default_factory=list)
    ended: bool = False
    final: tuple[int, int] = (0, 0)
    """Of the last page: where, its bytes."""


def links(source: Source, start: int, report: Report) -> list[Link]:
    """The links of the file from ``start``, in whole pages. Damage where pages are missing."""
    found: list[Link] = []
    numbers: dict[int, int] = {}
    at, body = start, False
    while at < source.size:
        head = source.read_at(at, 27 + 255)
        if head[:4] != b"OggS" or len(head) < 27 or len(head) < 27 + head[26]:
            following = _next_page(source, at + 1)
            if following is None and not any(source.read_at(at, _WINDOW)):
                break  # padding
            report.damage(f"{(following or source.size) - at} bytes at {at} are no Ogg page")
            at = following or source.size
            continue
        flags, serial, number = head[5], *struct.unpack("<II", head[14:22])
        size = 27 + head[26] + sum(head[27 : 27 + head[26]])
        if at + size > source.size:
            report.damage(f"ends within an Ogg page ({source.size - at} of {size} bytes)")
            break
        if flags & _FIRST:
            if not found or body:
                found.append(Link(source.read_at(at + 27 + head[26], 8), set()))
                body = False
            found[-1].serials.add(serial)
        else:
            body = True
            if found and numbers.get(serial, number - 1) + 1 != number:
                report.damage(f"Ogg pages are missing before byte {at}")
        if found and serial in found[-1].serials:
            numbers[serial] = number
            _add(found[-1], at, size, bool(flags & _LAST))
        at += size
    return found


def _next_page(source: Source, at: int) -> int | None:
    while at < source.size:
        data = source.read_at(at, _WINDOW)
        where = data.find(b"OggS")
        if where >= 0:
            return at + where
        at += max(1, len(data) - 3)
    return None


def _add(link: Link, at: int, size: int, ended: bool) -> None:
    last = link.parts[-1] if link.parts else b""
    if isinstance(last, tuple) and sum(last) == at:
        link.parts[-1] = (last[0], last[1] + size)
    else:
        link.parts.append((at, size))
    link.ended, link.final = link.ended or ended, (at, size)


def closed(source: Source, link: Link) -> list[Part]:
    """``link`` with its last page marked as the last, without which libsndfile refuses Opus."""
    if link.ended:
        return link.parts
    at, size = link.final
    page = bytearray(source.read_at(at, size))
    page[5] |= _LAST
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", _checksum(page))
    assert isinstance(link.parts[-1], tuple)
    first, length = link.parts[-1]
    return [*link.parts[:-1], (first, length - size), bytes(page)]


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


def _checksum(page: bytes | bytearray) -> int:
    table, value = _table(), 0
    for byte in page:
        value = (value << 8 ^ table[value >> 24 ^ byte]) & 0xFFFFFFFF
    return value
