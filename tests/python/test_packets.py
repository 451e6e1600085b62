"""Packets of a live call from Python: what the network may do to them, and what arrives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, PacketReader, PacketResult, PacketWriter
from secousti_native.packets import LOST

Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]


def random_tokens(codec: Codec, count: int, seed: int = 1) -> Tokens:
    return np.random.default_rng(seed).integers(0, codec.cardinality, count)


def play(reader: PacketReader, count: int) -> list[int | None]:
    return [reader.pop() for _ in range(count)]


def test_tokens_arrive_as_they_were_sent(codec: Codec) -> None:
    tokens = random_tokens(codec, 203)
    writer, reader = PacketWriter(codec), PacketReader(codec, depth=1)
    packets = [*writer.push(tokens[:1]), *writer.push(tokens[1:50]), *writer.push(tokens[50:]), *writer.flush()]
    assert len(packets) == 51
    assert writer.flush() == []
    assert max(map(len, packets)) <= writer.max_bytes
    assert all(reader.push(packet) is PacketResult.ACCEPTED for packet in packets)
    assert reader.buffered == 203
    assert play(reader, 203) == tokens.tolist()
    assert reader.counts["tokens"] == 203
    assert reader.counts["lost"] == reader.counts["damaged"] == 0


def test_any_integer_sequence_is_sent(codec: Codec) -> None:
    expected = PacketWriter(codec).push(np.array([1, 2, 3, 4]))
    for tokens in ([1, 2, 3, 4], (1, 2, 3, 4), np.array([1, 2, 3, 4], np.uint8)):
        assert PacketWriter(codec).push(tokens) == expected


def test_order_and_repetition_do_not_matter(codec: Codec) -> None:
    tokens = random_tokens(codec, 120)
    packets = PacketWriter(codec).push(tokens)
    reader = PacketReader(codec, depth=12)
    rng = np.random.default_rng(2)
    order = np.argsort(np.arange(len(packets)) + rng.uniform(0, 3, len(packets)))
    assert not np.array_equal(order, np.arange(len(packets)))
    results = [reader.push(packets[i]) for i in (0, *order, *order)]
    assert results.count(PacketResult.ACCEPTED) == len(packets)
    assert results.count(PacketResult.KNOWN) == len(packets) + 1
    assert play(reader, 120) == tokens.tolist()


def test_what_is_lost_is_said_and_redundancy_brings_it_back(codec: Codec) -> None:
    tokens = random_tokens(codec, 80)
    for redundancy, expected in ((0, 4), (4, 0)):
        packets = PacketWriter(codec, redundancy=redundancy).push(tokens)
        reader = PacketReader(codec, depth=4)
        for number, packet in enumerate(packets):
            if number != 7:
                reader.push(packet)
        played = play(reader, 80)
        assert played.count(LOST) == expected == reader.counts["lost"]
        if expected:
            assert played[28:32] == [LOST] * 4
            assert played[:28] + played[32:] == tokens[:28].tolist() + tokens[32:].tolist()
        else:
            assert played == tokens.tolist()
            assert reader.counts["recovered"] == 4


def test_a_packet_that_comes_too_late_is_counted(codec: Codec) -> None:
    packets = PacketWriter(codec).push(random_tokens(codec, 40))
    reader = PacketReader(codec, depth=1)
    for packet in (*packets[:2], *packets[3:]):
        reader.push(packet)
    play(reader, 20)
    assert reader.push(packets[2]) is PacketResult.LATE
    assert reader.counts["late"] == 1


def test_nothing_plays_before_the_buffer_is_filled(codec: Codec) -> None:
    tokens = random_tokens(codec, 12)
    packets = PacketWriter(codec).push(tokens)
    reader = PacketReader(codec, depth=8)
    assert reader.pop() is None
    reader.push(packets[0])
    assert reader.pop() is None
    reader.push(packets[1])
    assert play(reader, 8) == tokens[:8].tolist()


def test_hostile_bytes_change_nothing(codec: Codec) -> None:
    """Every flipped bit of a packet, every cut, noise of every length, packets of another model."""
    tokens = random_tokens(codec, 8)
    writer = PacketWriter(codec)
    writer.set_voice(np.linspace(-1, 1, codec.dimension, dtype=np.float32))
    first, second = writer.push(tokens)
    reader = PacketReader(codec, depth=1)
    assert reader.push(first) is PacketResult.ACCEPTED
    rng = np.random.default_rng(3)
    hostile = [second[:size] for size in range(len(second))]
    hostile += [second + bytes([i]) for i in range(256)]
    for bit in range(8 * len(second)):
        damaged = bytearray(second)
        damaged[bit // 8] ^= 1 << bit % 8
        hostile.append(bytes(damaged))
    assert all(reader.push(packet) is PacketResult.DAMAGED for packet in hostile)
    for size in range(300):  # the check lets one in 65,536 pass, and then all tokens are still in range
        reader.push(rng.bytes(size))
    assert reader.push(second) is PacketResult.ACCEPTED
    assert play(reader, 8) == tokens.tolist()
    assert reader.take_voice() is None  # two of its parts never came


def test_packets_of_another_model_do_not_pass(codec: Codec, codec21: Codec) -> None:
    reader = PacketReader(codec, depth=1)
    for packet in PacketWriter(codec21).push(random_tokens(codec21, 40)):
        assert reader.push(packet) is PacketResult.DAMAGED
    assert reader.pop() is None


def test_a_voice_arrives_in_parts(codec: Codec) -> None:
    voice = np.random.default_rng(4).normal(size=codec.dimension).astype(np.float32)
    writer, reader = PacketWriter(codec, voice_repeat=10), PacketReader(codec)
    writer.set_voice(voice)
    taken = []
    for packet in writer.push(random_tokens(codec, 80)):
        reader.push(packet)
        taken.append(reader.take_voice())
    parts = -(-codec.dimension // 64)
    assert [g is not None for g in taken[:parts]] == [False] * (parts - 1) + [True]
    heard = taken[parts - 1]
    assert heard is not None
    assert heard.dtype == np.float32
    assert np.abs(heard - voice).max() < 0.02 * np.abs(voice).max()


def test_a_call_over_a_bad_network_sounds_like_the_same_losses(codec: Codec, speech: Floats) -> None:
    """Encoder, packets, loss, jitter buffer and decoder together, against the decoder given the same gaps."""
    pcm = speech[: 3 * codec.sample_rate]
    tokens = codec.encode(pcm).tokens
    voice = codec.encode(pcm).voice
    writer, reader = PacketWriter(codec, redundancy=2), PacketReader(codec, depth=4)
    packets = [*writer.push(tokens), *writer.flush()]
    for number, packet in enumerate(packets):
        if number % 5 != 3:
            reader.push(packet)
    call, direct = codec.decoder(voice), codec.decoder(voice)
    heard, expected = [], []
    for index in range(len(tokens) - len(tokens) % 4):
        token = reader.pop()
        assert token is not None
        heard.append(call.conceal(1) if token == LOST else call.push(np.array([token])))
        lost = index // 4 % 5 == 3 and index % 4 < 2  # the packet after repeats its last two
        expected.append(direct.push(None) if lost else direct.push(tokens[index : index + 1]))
    assert reader.counts["lost"] > 10
    assert np.array_equal(np.concatenate(heard), np.concatenate(expected))


def test_what_makes_no_sense_is_refused(codec: Codec) -> None:
    for bad in ({"tokens_per_packet": 0}, {"tokens_per_packet": 16}, {"redundancy": 16}, {"voice_repeat": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            PacketWriter(codec, **bad)
    for depth in (0, 513, -1):
        with pytest.raises(ValueError, match="depth"):
            PacketReader(codec, depth=depth)
    writer, reader = PacketWriter(codec), PacketReader(codec)
    with pytest.raises(ValueError, match=rf"tokens\[1\] is {codec.cardinality}"):
        writer.push(np.array([0, codec.cardinality, 0, 0]))
    assert writer.flush() == []  # nothing of it was taken
    with pytest.raises(TypeError, match="integer"):
        writer.push(np.array([0.5]))
    with pytest.raises(ValueError, match="voice"):
        writer.set_voice(np.zeros(codec.dimension + 1, np.float32))
    with pytest.raises(ValueError, match="voice"):
        writer.set_voice(np.full(codec.dimension, np.nan, np.float32))
    with pytest.raises(TypeError, match="expected bytes, got str"):
        reader.push("packet")  # type: ignore[arg-type]
