"""What the processor at hand computes quickly."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

# What processors that multiply bfloat16 say of themselves: x86 in torch's and in Linux's words, Arm in Linux's.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Names of the CPU's instruction sets; none where the system does not tell."""
    try:
        text = _CPUINFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        asked: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return frozenset(name for name, has in asked.items() if has is True)
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        flag for name, _, values in lines if name.strip() in ("flags", "Features") for flag in values.split()
    )


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether bfloat16 matrices are multiplied faster than float32 there.

    A CPU without instructions for it is up to thirty times slower at them than at float32, instead.
    """
    if torch.device(device).type == "cpu":
        return bool(cpu_flags() & BFLOAT16_FLAGS)
    return True
