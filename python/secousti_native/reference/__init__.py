"""A readable PyTorch model of every stage of SecoustiCodec (arXiv 2508.02849): the training graph and the yardstick.

The native engine is checked against these modules. `config` needs no torch; every other module of this package does.
"""
