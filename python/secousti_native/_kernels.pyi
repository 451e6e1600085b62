"""Types of the extension module csrc/bindings/kernels.cpp."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Activation: TypeAlias = Literal["none", "elu", "gelu", "relu", "leaky_relu", "tanh"]

def isas() -> list[str]: ...
def linear(
    isa: str,
    x: Floats,
    weights: Floats,
    bias: Floats | None = None,
    activation: Activation = "none",
    slope: float = 0.0,
    scale: Floats | None = None,
    residual: Floats | None = None,
    kernel: int = 1,
    stride: int = 1,
    dilation: int = 1,
) -> Floats: ...
def layer_norm(isa: str, x: Floats, gamma: Floats, beta: Floats, eps: float = 1e-5) -> Floats: ...
def attention(
    isa: str,
    qkv: Floats,
    rope_cos: Floats,
    rope_sin: Floats,
    keys: Floats,
    values: Floats,
    position: int,
    start: int = 0,
) -> Floats: ...
def activate(isa: str, x: Floats, activation: Activation, slope: float = 0.0) -> Floats: ...
def snake(isa: str, x: Floats, alpha: Floats, inverse_alpha: Floats) -> Floats: ...
def fsq_quantise(isa: str, y: Floats, levels: Sequence[int]) -> npt.NDArray[np.int32]: ...
def rfft(isa: str, x: Floats) -> tuple[Floats, Floats]: ...
def irfft(isa: str, re: Floats, im: Floats) -> Floats: ...
def magnitude(isa: str, re: Floats, im: Floats, eps: float) -> Floats: ...
def exp(isa: str, x: Floats) -> Floats: ...
def log_floor(isa: str, x: Floats, floor: float) -> Floats: ...
def polar_head(isa: str, x: Floats) -> Floats: ...
