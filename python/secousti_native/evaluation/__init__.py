"""`secousti eval`: what codecs keep of speech, measured on a folder. See docs/guide/evaluation.md."""

from secousti_native.evaluation.run import Evaluation, Settings

__all__ = ["Evaluation", "Settings"]
