"""In which precision a training computes on this processor."""

from __future__ import annotations

import torch


def autocast() -> torch.autocast:
    """bfloat16 where the processor computes in it, else float32.

    Emulated bfloat16 is slower than float32, not faster: fifteen times and more on a processor
    with AVX2 alone (EfficientNet-Lite2 at 288 px, forward and backward, 2 cores).
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16())


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (AVX512-BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
