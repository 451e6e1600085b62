"""Batches that are killed at random moments and resumed give what an uninterrupted run gives.

SECOUSTI_TEST_BATCH is the number of files (2000 for a night, 60 otherwise).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from test_batches import contents
from test_cli import COMMAND, Floats, document

from secousti_native import audio

FILES = int(os.environ.get("SECOUSTI_TEST_BATCH", "60"))
KILLS = 5


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_and_resumed(tmp_path: Path, speech: Floats) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for i in range(FILES):
        begin, length = chance.randrange(len(speech) - 8000), chance.randrange(2000, 8000)
        path = tmp_path / "in" / f"{i % 7}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(path, np.ascontiguousarray(speech[begin : begin + length]), 22050)
    expected = document("encode", tmp_path / "in", "-o", tmp_path / "whole")
    assert len(expected["results"]) == FILES
    out = tmp_path / "out"
    command = [*COMMAND, "encode", str(tmp_path / "in"), "-o", str(out), "--skip-existing", "--jsonl"]
    done_before = 0
    for kill in range(KILLS):
        wanted = chance.randint(1, max(1, (FILES - done_before) // (KILLS - kill + 1)))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        made = 0
        while made < wanted:
            line = process.stdout.readline()
            assert line, process.communicate()
            made += json.loads(line)["status"] == "done"
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        finished = list(out.rglob("*.sec"))
        print(f"killed with {len(finished)} of {FILES} files, {len(list(out.rglob('.*.tmp')))} leftovers")
        assert done_before < len(finished) < FILES
        done_before = len(finished)
    last = document("encode", tmp_path / "in", "-o", out, "--skip-existing")
    assert len(last["skipped"]) == done_before
    assert len(last["results"]) == FILES - done_before
    assert contents(out) == contents(tmp_path / "whole")
