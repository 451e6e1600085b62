"""SecoustiCodec as a native streaming engine: speech to one stream of tokens and back.

    from secousti_native import Codec
    codec = Codec.from_pretrained()
    encoded = codec.encode(audio, sample_rate)
    audio = codec.decode(encoded)

The method is from Qiang et al., "SecoustiCodec: Cross-Modal Aligned Streaming Single-Codebook Speech Codec",
arXiv 2508.02849.
"""

from secousti_native import _interpreter as _interpreter  # first: it refuses where the rest would not load
from secousti_native._version import __version__
from secousti_native.batch import EncodedBatch
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded
from secousti_native.errors import (
    ContainerError,
    MissingDependencyError,
    ModelFormatError,
    SecoustiError,
    SnapshotError,
    UnsupportedError,
)
from secousti_native.groups import DecoderGroup, EncoderGroup
from secousti_native.model import Latency
from secousti_native.packets import PacketReader, PacketResult, PacketWriter
from secousti_native.streams import DecoderStream, EncoderStream

__all__ = [
    "Codec",
    "ContainerError",
    "DecoderGroup",
    "DecoderStream",
    "Encoded",
    "EncodedBatch",
    "EncoderGroup",
    "EncoderStream",
    "Latency",
    "MissingDependencyError",
    "ModelFormatError",
    "PacketReader",
    "PacketResult",
    "PacketWriter",
    "SecoustiError",
    "SnapshotError",
    "UnsupportedError",
    "__version__",
]
