"""From a source to blocks of samples: which decoder reads which bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from secousti_native._optional import available
from secousti_native._reading import flac, mpeg, ogg, riff
from secousti_native._reading.libsndfile import Block, SndFile, UnreadableError
from secousti_native._reading.pyav import AvFile
from secousti_native._reading.report import Report
from secousti_native._reading.sources import Part, Source, Virtual

#: What only PyAV reads, by a pattern at an offset.
_FOREIGN = (
    (4, b"ftyp", "MP4 audio"), (0, b"\x1a\x45\xdf\xa3", "WebM and Matroska"), (0, b"#!AMR", "AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"), (0, b"FLV\x01", "Flash video"), (0, b"OpusHead", "raw Opus"),
    (8, b"AVI ", "AVI"), (0, b"ADIF", "AAC"), (0, b"wvpk", "WavPack"), (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"), (0, b"MPCK", "Musepack"), (0, b"MP+", "Musepack"), (0, b"\x0b\x77", "AC-3"),
    (0, b"\x00\x00\x01\xba", "MPEG video"), (0, b"caff\0\1\0\0alac", "ALAC"),
)  # fmt: skip


class Audio:
    """What a file's beginning tells. `blocks` may be iterated as often as wanted, once at a time."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source, self._report = source, report
        self._start = _after_tags(source)
        if source.size - self._start <= 0:
            raise report.error("holds no audio samples (it is empty)")
        self._head = source.read_at(self._start, 64)
        self._pieces = self._find_pieces()
        if not self._pieces:
            raise report.error("not a readable audio file (nothing of it is intact)")
        with contextlib.closing(self._open(self._pieces[0][0])) as opened:
            self.rate, self.channels = opened.rate, opened.channels
            self.is_float = opened.is_float
            self.frames = max(opened.frames, self._pieces[0][1]) if len(self._pieces) == 1 else 0

    def blocks(self) -> Iterator[Block]:
        """All samples; ``rate`` and channels may change where files were joined."""
        for parts, expected in self._pieces:
            with contextlib.closing(self._open(parts)) as opened:
                yield from opened.blocks(self._report, expected if expected >= 0 else opened.frames)

    def _find_pieces(self) -> list[tuple[Sequence[Part], int]]:
        """Each joined file as one that a decoder can read, and its samples: 0 unknown, -1 as the decoder says."""
        source, start, report, head = self._source, self._start, self._report, self._head
        if riff.is_wave(head):
            return [(parts, 0) for parts in riff.waves(source, start, report)]
        if head[:4] == b"fLaC":
            return [flac.untold(source, start)]
        if head[:4] == b"OggS":
            found = ogg.links(source, start, report)
            if found and all(len(link.serials) == 1 for link in found):
                if not found[-1].ended and not report.notes:  # else it is known to have been cut
                    report.note("has no end mark; it may have been cut")
                return [(ogg.closed(source, link), -1) for link in found]
        elif self._foreign() is None:
            first = mpeg.first_frame(source, start)
            if first == start or (first is not None and self._unknown([(start, source.size - start)])):
                return [(list(mpeg.told(source, run, report)), -1) for run in mpeg.runs(source, first)]
        riff.check_size(source, head, report)
        return [([(start, source.size - start)], 0)]

    def _unknown(self, parts: Sequence[Part]) -> bool:
        try:
            SndFile(Virtual(self._source, parts)).close()
        except UnreadableError:
            return True
        return False

    def _foreign(self) -> str | None:
        for offset, pattern, name in _FOREIGN:
            if self._head[offset : offset + len(pattern)] == pattern:
                return name
        adts = len(self._head) > 1 and self._head[0] == 0xFF and self._head[1] & 0xF6 == 0xF0
        return "AAC" if adts else None

    def _open(self, parts: Sequence[Part]) -> SndFile | AvFile:
        foreign = self._foreign()
        reason = "unknown format"
        # Behind damage in FLAC libsndfile does not go on, and FFmpeg does.
        resyncs = self._report.keep and self._head[:4] == b"fLaC" and available("av")
        if foreign is None and not resyncs:
            try:
                return SndFile(Virtual(self._source, parts))
            except UnreadableError as error:
                reason = str(error)
            if not available("av"):
                raise self._report.error(
                    f"not a readable audio file ({reason}); pip install 'secousti-native[formats]' reads more kinds"
                )
        try:
            return AvFile(Virtual(self._source, parts), f"{self._report.name}: reading {foreign or 'this format'}")
        except UnreadableError as error:
            raise self._report.error(f"not a readable audio file ({error})") from None


def _after_tags(source: Source) -> int:
    """Where ID3 and APE tags at the beginning end."""
    at = 0
    while at < source.size and (size := mpeg.tag_size(source.read_at(at, 32))):
        at += size
    return at
