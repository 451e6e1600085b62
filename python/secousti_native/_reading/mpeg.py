"""MP3 (and MP2) files: their frames are counted, because headers tell the number wrongly or not at all."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from secousti_native._reading.report import Report
from secousti_native._reading.sources import Part, Source

_WINDOW = 1 << 20
_SEARCH = 1 << 16  # how far junk in front of the first frame may reach
# kbit/s by layer (3, 2, 1) of MPEG 1, then of MPEG 2 and 2.5.
_BIT_RATES = {
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
}
_BIT_RATES[2, 2] = _BIT_RATES[2, 3]
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_BEGINNING = re.compile(rb"\xff[\xe0-\xff]|ID3|APETAGEX|TAG")
_JUNK = 1 << 12
_INFO_FRAMES = 1  # flag: the number of frames follows


@dataclass(frozen=True)
class _Header:
    size: int  # bytes
    samples: int
    rate: int
    channels: int
    layer: int
    side: int  # bytes between header and an Info tag

    @property
    def kind(self) -> tuple[int, int, int]:
        return self.rate, self.channels, self.layer


@dataclass
class Run:
    """Frames of one rate, one number of channels and one layer that follow each other."""

    header: bytes
    """The first frame's."""
    kind: tuple[int, int, int]
    samples_per_frame: int
    parts: list[Part] = field(default_factory=list)
    frames: int = 0
    infos: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each Info frame: where, its bytes, the number of frames that it tells (0: none)."""

    @property
    def samples(self) -> int:
        """At most; an encoder's padding may be part of them."""
        return self.frames * self.samples_per_frame

    def add(self, at: int, size: int) -> None:
        last = self.parts[-1] if self.parts else b""
        if isinstance(last, tuple) and sum(last) == at:
            self.parts[-1] = (last[0], last[1] + size)
        else:
            self.parts.append((at, size))
        self.frames += 1


def _parse(head: bytes) -> _Header | None:
    """A frame's header from its first four bytes."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return None
    family = 1 if version == 3 else 2
    bits, rate = _BIT_RATES[family, layer][index] * 1000, _RATES[version][rate_index]
    padding, mono = head[2] >> 1 & 1, head[3] >> 6 == 3
    if layer == 1:
        return _Header((12 * bits // rate + padding) * 4, 384, rate, 1 if mono else 2, 1, 0)
    samples = 576 if layer == 3 and family == 2 else 1152
    side = (17 if mono else 32) if family == 1 else (9 if mono else 17)
    return _Header(samples // 8 * bits // rate + padding, samples, rate, 1 if mono else 2, layer, side)


class _Bytes:
    """Small reads of a source from a window that moves along."""

    def __init__(self, source: Source) -> None:
        self._source, self._start, self._data = source, 0, b""

    def __call__(self, at: int, count: int) -> bytes:
        if not self._start <= at or at + count > self._start + len(self._data):
            self._start, self._data = at, self._source.read_at(at, max(count, _WINDOW))
        return self._data[at - self._start : at - self._start + count]


def tag_size(head: bytes) -> int:
    """Bytes of the ID3 or APE tag that starts with ``head`` (at least 32 bytes of it), 0 if it is none."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) >= 24:
        size, _, flags = struct.unpack("<III", head[12:24])
        return int(size) + (32 if flags & 0x20000000 else 0)  # without the flag this is the footer alone
    if head[:4] == b"TAG+":
        return 227
    return 128 if head[:3] == b"TAG" else 0


def first_frame(source: Source, start: int) -> int | None:
    """Where the first of two frames in a row is, at ``start`` or after some junk."""
    data = source.read_at(start, _SEARCH + 8192)
    at = data.find(b"\xff")
    while 0 <= at < _SEARCH:
        header = _parse(data[at : at + 4])
        if header is not None:
            following = _parse(data[at + header.size : at + header.size + 4])
            if following is not None and following.kind == header.kind:
                return start + at
        at = data.find(b"\xff", at + 1)
    return None


def runs(source: Source, start: int) -> list[Run]:
    """All frames from ``start``, without tags and junk."""
    read, found = _Bytes(source), list[Run]()
    at, skipped = start, 0
    while at < source.size:
        header = _parse(read(at, 4))
        if header is None or (skipped and not _goes_on(read, at, header, source.size)):
            tag = tag_size(read(at, 32))
            step = tag or _junk(read(at, _JUNK))
            at += step
            skipped += 0 if tag else step
            continue
        if at + header.size > source.size:
            break  # half a frame, which gives no samples
        if not found or found[-1].kind != header.kind:
            found.append(Run(read(at, 4), header.kind, header.samples))
        info = _info(read(at, min(header.size, 64)), header)
        if info is not None:
            found[-1].infos.append((at, header.size, info))
        else:
            found[-1].add(at, header.size)
        at += header.size
        skipped = 0
    return [run for run in found if run.frames]


def _junk(data: bytes) -> int:
    """Bytes until something may begin."""
    found = _BEGINNING.search(data, 1)
    return max(1, len(data) - 8) if found is None else found.start()


def _goes_on(read: _Bytes, at: int, header: _Header, end: int) -> bool:
    """Whether another frame, a tag or the end follows the frame at ``at``: else it is a chance pattern in junk."""
    after = at + header.size
    following = _parse(read(after, 4))
    return after == end or bool(tag_size(read(after, 32))) or (following is not None and following.kind == header.kind)


def _info(frame: bytes, header: _Header) -> int | None:
    """The number of frames that an Info, Xing or VBRI frame tells (0: none); None for a frame of audio."""
    if header.layer != 3:
        return None
    tag = frame[4 + header.side : 8 + header.side]
    if tag in (b"Info", b"Xing"):
        flags, frames = struct.unpack(">II", frame[8 + header.side : 16 + header.side].ljust(8, b"\0"))
        return int(frames) if flags & _INFO_FRAMES else 0
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    return None


def told(source: Source, run: Run, report: Report) -> Iterator[Part]:
    """``run`` as a file whose Info frame tells the true number of frames.

    Damage if the encoder's own promises more frames than there are.
    """
    if len(run.infos) == 1:
        at, size, frames = run.infos[0]
        if frames > run.frames + 1:
            report.damage(f"holds {run.frames} of the {frames} MP3 frames that its header promises")
        if frames and abs(frames - run.frames) <= 1:
            yield (at, size)
        else:
            yield _corrected_info(source.read_at(at, size), run)
    elif run.kind[2] == 3:
        yield _made_info(run)
    yield from run.parts


def _corrected_info(frame: bytes, run: Run) -> bytes:
    """The encoder's Info frame with another length: it also tells how many samples to leave out at the beginning."""
    tag = max(frame.find(b"Info", 4, 64), frame.find(b"Xing", 4, 64))
    flags = frame[tag + 7] if 0 <= tag < len(frame) - 12 else 0
    if not flags & _INFO_FRAMES:
        return _made_info(run)
    lame = tag + 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    changed = bytearray(frame)
    changed[tag + 8 : tag + 12] = struct.pack(">I", run.frames)
    if lame + 24 <= len(frame):  # its 24 bits of padding: at the beginning, and at an end that is not there
        changed[lame + 22] &= 0xF0
        changed[lame + 23] = 0
    return bytes(changed)


def _made_info(run: Run) -> bytes:
    """A frame of the run's kind with an Info tag that tells its number of frames and nothing else."""
    for index in range(1, 15):
        head = bytes((0xFF, run.header[1] | 1, index << 4 | run.header[2] & 0x0C, run.header[3]))
        parsed = _parse(head)
        assert parsed is not None
        if parsed.size >= 4 + parsed.side + 16:
            tag = b"Info" + struct.pack(">II", _INFO_FRAMES, run.frames)
            return (head + bytes(parsed.side) + tag).ljust(parsed.size, b"\0")
    raise AssertionError("no bit rate has room for an Info tag")
