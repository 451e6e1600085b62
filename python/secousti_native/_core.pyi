"""Types of the extension module csrc/bindings/core.cpp."""

from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

Floats: TypeAlias = npt.NDArray[np.float32]
Tokens: TypeAlias = npt.NDArray[np.int32]

version: str

def available_isas() -> str: ...

class ModelInfo(TypedDict):
    name: str
    config_json: str
    isa: str
    precision: str
    vocoder: str
    sample_rate: int
    hop_length: int
    frame_size: int
    frame_rate: float
    cardinality: int
    n_mels: int
    dimension: int
    fsq_dimensions: int
    prompt_frames: int
    has_acoustic_branch: bool
    has_vocoder: bool
    vocoder_look_ahead: int
    encoder_latency: int
    decoder_latency: int
    identity: int
    parameters: int
    memory_bytes: int

class EncoderOutputs(TypedDict):
    encoder_out: Floats
    acoustic_embed: Floats | None
    semantic_mu: Floats
    fsq_in: Floats
    tokens: Tokens

class Model:
    def __init__(self, path: bytes, isa: str | None = None, precision: str = "fp32") -> None: ...
    @staticmethod
    def from_memory(data: Buffer, isa: str | None = None, precision: str = "fp32") -> Model: ...
    def info(self) -> ModelInfo: ...
    def mel(self, pcm: Floats) -> Floats: ...
    def encode_mel(self, mel: Floats, threads: int = 1) -> EncoderOutputs: ...
    def tokens_of_mel(self, mel: Floats, threads: int = 1) -> Tokens: ...
    def paralinguistic(self, mel: Floats) -> Floats: ...
    def decode_tokens(self, tokens: Tokens, paralinguistic: Floats, threads: int = 1) -> Floats: ...
    def decode_acoustic(self, acoustic: Floats, threads: int = 1) -> Floats: ...
    def vocode(self, mel: Floats, seed: int | None = None, look_ahead: int = -1, threads: int = 1) -> Floats: ...

class Encoder:
    def __init__(self, model: Model, threads: int = 1) -> None: ...
    @staticmethod
    def restore(model: Model, snapshot: bytes, threads: int = 1) -> Encoder: ...
    def clone(self) -> Encoder: ...
    def reset(self) -> None: ...
    def push(self, pcm: Floats) -> Tokens: ...
    def flush(self) -> Tokens: ...
    def snapshot(self) -> bytes: ...

class Decoder:
    def __init__(
        self,
        model: Model,
        paralinguistic: Floats | None = None,
        seed: int = 0,
        noise: bool = True,
        look_ahead: int = -1,
        threads: int = 1,
    ) -> None: ...
    @staticmethod
    def restore(model: Model, snapshot: bytes, threads: int = 1) -> Decoder: ...
    def clone(self) -> Decoder: ...
    def reset(self) -> None: ...
    def push(self, tokens: Tokens) -> Floats: ...
    def conceal(self, count: int) -> Floats: ...
    def conceal_to_mel(self, count: int, frames_per_token: int, n_mels: int) -> Floats: ...
    def push_to_mel(self, tokens: Tokens, frames_per_token: int, n_mels: int) -> Floats: ...
    def push_from_mel(self, mel: Floats, frames_per_token: int, n_mels: int) -> Floats: ...
    def flush(self) -> Floats: ...
    def snapshot(self) -> bytes: ...
    def latency(self) -> int: ...
    def set_paralinguistic(self, paralinguistic: Floats) -> None: ...
    def get_paralinguistic(self, dimension: int) -> Floats: ...

class ContainerContents(TypedDict):
    identity: int
    sample_rate: int
    samples_per_token: int
    cardinality: int
    total_tokens: int
    samples: int
    tokens: Tokens
    paralinguistic: Floats
    lost: list[tuple[int, int]]
    notes: list[str]
    repaired_bits: int
    info_lost: bool
    paralinguistic_lost: bool
    complete: bool
    bytes: dict[str, int]

def write_container(
    tokens: Tokens,
    paralinguistic: Floats,
    *,
    identity: int,
    sample_rate: int,
    samples_per_token: int,
    cardinality: int,
    samples: int,
) -> bytes: ...
def read_container(data: bytes) -> ContainerContents: ...
def quantise_paralinguistic(paralinguistic: Floats) -> Floats: ...
