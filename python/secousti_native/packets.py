"""Packets of a live call: tokens over a network that loses, delays, repeats and reorders.

    writer = PacketWriter(codec, redundancy=4)
    for packet in writer.push(encoder.push(pcm)):
        socket.send(packet)

    reader = PacketReader(codec, depth=8)         # the jitter buffer
    reader.push(socket.recv(2048))                # as often as something comes
    token = reader.pop()                          # once for each codec.frame_size samples played
    if token is not None:
        pcm = decoder.conceal(1) if token == LOST else decoder.push(np.array([token]))

Byte layout, costs and measurements: docs/design/packets.md. Each object is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from secousti_native import _core, encoded
from secousti_native._arguments import check_voice
from secousti_native._arrays import Array, Floats, as_tokens
from secousti_native._exclusive import NotCopied
from secousti_native.model import Model

LOST = encoded.LOST
"""What `PacketReader.pop` gives for a token that did not come."""


class PacketResult(IntEnum):
    """What `PacketReader.push` found."""

    ACCEPTED = 0
    """It brought something new."""
    LATE = 1
    """All its tokens were played or given up before it came."""
    KNOWN = 2
    """All its tokens had come before."""
    STRAY = 3
    """Far from the stream's place; if the next one follows on, the stream moves there."""
    DAMAGED = 4
    """Not a packet of this stream."""


class PacketWriter(NotCopied):
    """Tokens to packets."""

    _instead = "make another"

    def __init__(self, model: Model, *, tokens_per_packet: int = 4, redundancy: int = 0, voice_repeat: int = 0) -> None:
        """Packets for readers of the same model.

        Args:
            model: whose tokens (a `Codec`) are sent; packets carry a check of its identity.
            tokens_per_packet: new tokens in each, 1 to 15.
            redundancy: tokens before the new ones that are sent again, 0 to 15, against loss.
            voice_repeat: packets from one sending of G to the next; 0: each G goes once.
        """
        self._model = model
        self._core = _core.PacketWriter(model._core, tokens_per_packet, redundancy, voice_repeat)

    @property
    def max_bytes(self) -> int:
        """Most bytes of a packet."""
        return self._core.max_bytes()

    def push(self, tokens: Array | Sequence[int]) -> list[bytes]:
        """Adds tokens [n], any integer dtype; returns the packets that they complete.

        A call that raises (TypeError; ValueError that names the token) adds nothing.
        """
        values = np.asarray(tokens, np.int64) if isinstance(tokens, list | tuple) else tokens
        return self._core.push(as_tokens(values, self._model.cardinality))

    def flush(self) -> list[bytes]:
        """The tokens that wait as a shorter packet, or nothing if none wait."""
        packet = self._core.flush()
        return [packet] if packet else []

    def set_voice(self, voice: Array) -> None:
        """Sends G [dimension], at eight bits a value and 64 values a packet, with the next packets."""
        self._core.set_voice(check_voice(voice, self._model.dimension))


class PacketReader(NotCopied):
    """Packets, in whatever order they come, to tokens in theirs: the jitter buffer."""

    _instead = "make another"

    def __init__(self, model: Model, *, depth: int = 8) -> None:
        """``depth``: tokens in hand before playing starts, 1 to 512. It is the delay that late packets may have."""
        self._core = _core.PacketReader(model._core, depth)

    def push(self, packet: bytes | bytearray | memoryview) -> PacketResult:
        """Takes what came from the network, whatever it is; says what it was and never raises for its content."""
        if not isinstance(packet, bytes | bytearray | memoryview):
            raise TypeError(f"packet: expected bytes, got {type(packet).__name__}")
        return PacketResult(self._core.push(bytes(packet)))

    def pop(self) -> int | None:
        """The next token in playing order, one for each ``frame_size`` samples played.

        `LOST` (-1) if it did not come: conceal it. None if there is nothing to play: the buffer fills, or the other end
        has been silent for long.
        """
        return self._core.pop()

    @property
    def buffered(self) -> int:
        """Tokens from the one to be played next to the newest that came, gaps included: the delay at hand."""
        return self._core.buffered()

    def take_voice(self) -> Floats | None:
        """G [dimension] float32 once every part of it has come and any is newer than at the last call; else None."""
        return self._core.take_voice()

    @property
    def counts(self) -> _core.PacketCounts:
        """What came so far.

        Of ``packets``: ``late``, ``known``, ``stray`` and ``damaged`` as in `PacketResult`; ``tokens`` in time, of them
        ``recovered`` by repetition; ``lost`` tokens; ``restarts``, moves to another place in the stream.
        """
        return self._core.counts()
