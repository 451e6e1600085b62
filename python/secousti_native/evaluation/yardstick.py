"""A codec without memory or training tricks: k-means of mel frames. What a learnt one must beat at the same rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from secousti_native import audio
from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native.codec import Codec
from secousti_native.evaluation.clips import Clip, find
from secousti_native.evaluation.measures import shifted
from secousti_native.evaluation.statistics import Score
from secousti_native.evaluation.systems import Output

#: Most vectors that are trained on.
_VECTORS = 200_000


class KMeans:
    """Nearest of as many centres as the model has tokens, at its rate; then its vocoder.

    A vector is the log-mel frames of one token, less the clip's mean frame, which comes for free as G does.
    """

    kind = "yardstick"

    def __init__(self, codec: Codec, folder: Path, seed: int = 0, centres: int | None = None) -> None:
        """Trains on the speech of ``folder``. ``centres``: None for the cardinality. ``ValueError`` for too little."""
        cluster = require("sklearn.cluster", "the k-means yardstick", "scikit-learn")
        self.codec = codec
        self.centres = codec.cardinality if centres is None else centres
        self.name = f"k-means, {self.centres:,} at {codec.frame_rate:.1f} Hz"
        vectors = np.concatenate(list(self._read(folder)))
        if len(vectors) < self.centres:
            raise ValueError(f"{folder}: {len(vectors)} vectors are too few for {self.centres} centres")
        rng = np.random.default_rng(seed)
        vectors = vectors[rng.permutation(len(vectors))[:_VECTORS]]
        self._kmeans: Any = cluster.MiniBatchKMeans(
            self.centres, init="random", n_init=1, batch_size=8192, max_iter=20, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of centres that lost their vectors
            self._kmeans.fit(vectors)

    def __call__(self, clip: Clip) -> Output:
        pcm = clip.at(self.codec.sample_rate)
        mel = self.codec.stages.mel(pcm)
        tokens = self._kmeans.predict(self._vectors(mel))
        frames = self._kmeans.cluster_centers_[tokens].reshape(-1, mel.shape[1])[: len(mel)] + mel.mean(0)
        decoded = self.codec.stages.vocode(frames.astype(np.float32), seed=0)
        bits = math.log2(self.centres) * len(tokens) / clip.seconds
        return Output(shifted(decoded, 0, len(pcm)), self.codec.sample_rate, {"bit_rate": Score(bits, clip.seconds)})

    def _read(self, folder: Path) -> Iterator[Floats]:
        for source in find(folder):
            pcm, _ = audio.load(source.path, self.codec.sample_rate)
            if len(pcm) >= self.codec.frame_size:
                yield self._vectors(self.codec.stages.mel(pcm))

    def _vectors(self, mel: Floats) -> Floats:
        """[tokens, frames of a token * bands]; the last frame is repeated where the last token lacks some."""
        stack = self.codec.frame_size // self.codec.info["hop_length"]
        centred = np.pad(mel - mel.mean(0), ((0, -len(mel) % stack), (0, 0)), mode="edge")
        return centred.reshape(len(centred) // stack, -1)
