"""Ctrl-C ends every call soon and leaves the object usable: signals at random moments, in a process of their own."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import pytest
from conftest import SPEECH

# Of the processor, from the signal to the end of the call, for each thread. On a busy machine the clock says nothing.
LIMIT = 0.5

PRELUDE = """
import os, random, signal, sys, threading, time
import numpy as np
from secousti_native import Codec, _interrupts, audio
signal.signal(signal.SIGINT, signal.default_int_handler)
speech, rate = audio.load(sys.argv[1], 22050)
long = np.tile(speech, 120)
codec = Codec.from_pretrained()
dice = random.Random(int(sys.argv[2]))
expected = codec.encode(speech[:44100])

def interrupted(call):
    \"\"\"Tells the processor's seconds from the signal to the end of the call, which must not end by itself.\"\"\"
    sent = []
    ready = threading.Event()
    def send():
        ready.wait()
        time.sleep(dice.uniform(0.05, 0.6))
        sent.append((time.process_time(), time.monotonic()))
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        ready.set()
        call()
    except KeyboardInterrupt:
        ended = time.process_time(), time.monotonic()
    else:
        thread.join()
        raise SystemExit("the call ended by itself")
    thread.join()
    print("seconds", ended[0] - sent[0][0], ended[1] - sent[0][1], flush=True)
    while _interrupts._running:  # what the engine had begun, which would count in the next call's time
        time.sleep(0.01)
"""


def run(code: str, threads: int = 1) -> None:
    """Runs ``code`` after the prelude, and checks the times that it prints."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(SPEECH), str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    times = [float(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("seconds")]
    print(result.stdout)
    assert times
    assert max(times) < LIMIT * threads


@pytest.mark.parametrize("threads", [1, 2])
def test_whole_calls(threads: int) -> None:
    run(f"""
        codec = codec.with_threads({threads})
        big = np.stack([long, long])[:, None]
        interrupted(lambda: codec.encode(long))
        assert codec.encode(speech[:44100]) == expected
        interrupted(lambda: codec.encode_many([long, long, long]))
        interrupted(lambda: codec.encode_many(long for _ in range(20)))
        interrupted(lambda: codec.encode_batch(big))
        tokens = np.tile(expected.tokens, 900)
        interrupted(lambda: codec.decode(tokens, expected.voice))
        interrupted(lambda: codec.decode_many([tokens] * 4, [expected.voice] * 4))
        assert codec.encode(speech[:44100]) == expected
        assert np.isfinite(codec.decode(expected)).all()
    """, threads)  # fmt: skip


def test_streams_have_consumed_nothing() -> None:
    run("""
        encoder, head = codec.encoder(), []
        head.append(encoder.push(speech[:5000]))
        interrupted(lambda: encoder.push(long))
        tokens = np.concatenate([*head, encoder.push(speech[5000:44100]), encoder.flush()])
        assert np.array_equal(tokens, expected.tokens)

        decoder = codec.decoder(expected.voice)
        head = [decoder.push(expected.tokens[:30])]
        interrupted(lambda: decoder.push(np.tile(expected.tokens, 900)))
        interrupted(lambda: decoder.conceal(10**6))
        pcm = np.concatenate([*head, decoder.push(expected.tokens[30:]), decoder.flush()])
        assert np.array_equal(pcm[:44100], codec.decode(expected)[: len(pcm)])
    """)


def test_streams_that_resample_say_to_reset() -> None:
    run("""
        encoder = codec.encoder(16000)
        for _ in range(20):  # a signal before the work begins changes nothing
            interrupted(lambda: encoder.push(long))
            try:
                encoder.push(speech[:0])
            except RuntimeError as error:
                assert "reset" in str(error)
                break
        else:
            raise SystemExit("the stream was never cut off")
        try:
            encoder.flush()
        except RuntimeError as error:
            assert "reset" in str(error)
        else:
            raise SystemExit("a stream that was cut off was flushed")
        encoder.reset()
        tokens = np.concatenate([encoder.push(speech[:44100]), encoder.flush()])
        assert np.array_equal(tokens, codec.encode(speech[:44100], 16000).tokens)
    """)


def test_generators() -> None:
    run("""
        def forever():
            while True:
                yield speech

        interrupted(lambda: list(codec.encode_stream(forever())))
        tokens = np.concatenate(list(codec.encode_stream([speech[:44100]])))
        assert np.array_equal(tokens, expected.tokens)
    """)


def test_stages() -> None:
    run("""
        stages = codec.stages
        mel = stages.mel(speech)
        many = np.tile(mel, (30, 1))
        few = np.tile(mel, (6, 1))
        tokens = np.tile(expected.tokens, 30)
        before = stages.encode_mel(mel)["tokens"]
        interrupted(lambda: stages.encode_mel(few))
        interrupted(lambda: stages.vocode(many))
        interrupted(lambda: stages.decode_tokens(tokens, expected.voice))
        interrupted(lambda: [stages.mel(long) for _ in range(1000)])
        assert np.array_equal(stages.encode_mel(mel)["tokens"], before)
    """)
