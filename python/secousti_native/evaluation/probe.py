"""How much of the speaker is left in the tokens: a linear classifier that tries to tell."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native._optional import require
from secousti_native.evaluation.statistics import Score, bootstrap

_FOLDS = 5


def histogram(tokens: npt.NDArray[Any], cardinality: int) -> npt.NDArray[np.float32]:
    """Mean one-hot vector [cardinality] of an utterance's tokens."""
    return (np.bincount(tokens, minlength=cardinality) / len(tokens)).astype(np.float32)


def speaker_accuracy(
    features: Sequence[npt.NDArray[Any]], speakers: Sequence[str], resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Share of utterances whose speaker a linear classifier names, trained on the other folds.

    Multinomial logistic regression with an L2 penalty on standardised features, stratified cross-validation in up to
    five folds; speakers with one utterance are left out. Chance is the share of the most frequent speaker.
    Returns accuracy (with its interval over utterances), chance, utterances and speakers. ``ValueError`` unless two
    speakers have two utterances each.
    """
    models, selection, pipeline, scaling = (
        require(f"sklearn.{part}", "the leakage probe", "scikit-learn")
        for part in ("linear_model", "model_selection", "pipeline", "preprocessing")
    )
    counts = Counter(speakers)
    kept = [i for i, speaker in enumerate(speakers) if counts[speaker] >= 2]
    names = np.array([speakers[i] for i in kept])
    if len(set(names)) < 2:
        raise ValueError("leakage probe: needs two speakers (sub-folders) with two utterances each")
    folds = selection.StratifiedKFold(min(_FOLDS, *Counter(names).values()), shuffle=True, random_state=seed)
    classifier = pipeline.make_pipeline(scaling.StandardScaler(), models.LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence: more steps change no decision that matters here
        predicted = selection.cross_val_predict(classifier, np.stack([features[i] for i in kept]), names, cv=folds)
    accuracy = bootstrap([Score(float(hit)) for hit in predicted == names], resamples, seed)
    return {
        "accuracy": asdict(accuracy),
        "chance": max(Counter(names).values()) / len(names),
        "utterances": len(names),
        "speakers": len(set(names)),
    }
