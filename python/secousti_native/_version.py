"""The version of the package and of the C++ library, written once."""

__version__ = "0.1.0"
