"""The training method (arXiv 2508.02849, section 3): from a corpus of speech to a model file for the native engine.

Needs torch. The command line is `secousti train`; `docs/guide/training.md` is the guide.
"""
