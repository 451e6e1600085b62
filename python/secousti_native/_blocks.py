"""Long inputs, block by block, in constant memory: generators over streams, also for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol

from secousti_native._arrays import Array

if TYPE_CHECKING:
    from secousti_native.streams import DecoderStream, EncoderStream


class Stream(Protocol):
    """An `EncoderStream` or a `DecoderStream`."""

    def push(self, block: Array, /) -> Array: ...
    def flush(self) -> Array: ...


def through(stream: Stream, blocks: Iterable[Array]) -> Iterator[Array]:
    """What ``stream`` makes of ``blocks``, as it comes; no empty arrays."""
    for block in blocks:
        result = stream.push(block)
        del block  # not held while the caller works on the result
        if len(result):
            yield result
    result = stream.flush()
    if len(result):
        yield result


async def through_async(stream: Stream, blocks: AsyncIterable[Array] | Iterable[Array]) -> AsyncIterator[Array]:
    """As `through`, with the work in a thread: the event loop goes on. Cancelled, it waits for the push under way."""
    with ThreadPoolExecutor(1, "secousti") as thread:
        async for block in blocks if isinstance(blocks, AsyncIterable) else _async(blocks):
            result = await _in(thread, partial(stream.push, block))
            if len(result):
                yield result
        result = await _in(thread, stream.flush)
        if len(result):
            yield result


async def _async(blocks: Iterable[Array]) -> AsyncIterator[Array]:
    for block in blocks:
        yield block


async def _in(thread: ThreadPoolExecutor, call: Callable[[], Array]) -> Array:
    """``call()`` in a thread; cancelled, it is over before the caller goes on."""
    future = asyncio.get_running_loop().run_in_executor(thread, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


class BlockByBlock:
    """What a `Codec` does with long inputs."""

    if TYPE_CHECKING:

        def encoder(self, sample_rate: int | None = None) -> EncoderStream: ...

        def decoder(
            self, voice: Array | None = None, *, seed: int | None = 0, look_ahead: int | None = None
        ) -> DecoderStream: ...

    def encode_stream(self, blocks: Iterable[Array], sample_rate: int | None = None) -> Iterator[Array]:
        """Audio in blocks [samples] of any lengths to arrays of tokens int64 [n], as they come, in constant memory.

        Together the tokens are those of `encode`. Other arguments and errors are those of `encoder` and
        `EncoderStream.push`.
        """
        return through(self.encoder(sample_rate), blocks)

    def decode_stream(
        self,
        blocks: Iterable[Array | None],
        voice: Array | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
    ) -> Iterator[Array]:
        """Tokens in blocks [n] of any lengths to audio, float32 [samples], as it comes, in constant memory.

        A block None is a lost token. Other arguments and errors are those of `decoder` and `DecoderStream.push`.
        """
        return through(self.decoder(voice, seed=seed, look_ahead=look_ahead), blocks)

    def encode_stream_async(
        self, blocks: AsyncIterable[Array] | Iterable[Array], sample_rate: int | None = None
    ) -> AsyncIterator[Array]:
        """`encode_stream` for ``async for``: the work is done in a thread, and the event loop goes on.

        Cancelled, it ends when the push under way has. Its stream is its own and ends with it.
        """
        return through_async(self.encoder(sample_rate), blocks)

    def decode_stream_async(
        self,
        blocks: AsyncIterable[Array | None] | Iterable[Array | None],
        voice: Array | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
    ) -> AsyncIterator[Array]:
        """`decode_stream` for ``async for``, as `encode_stream_async`."""
        return through_async(self.decoder(voice, seed=seed, look_ahead=look_ahead), blocks)
