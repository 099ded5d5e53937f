from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="left out: torch (the extra [train]) is missing")

from models import precision  # noqa: E402  # after the check for torch


@pytest.mark.parametrize("native", [False, True])
def test_training_computes_in_bfloat16_only_where_the_processor_does(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    layer = torch.nn.Linear(4, 4)
    with precision.autocast():
        out = layer(torch.ones(1, 4))
    assert out.dtype == (torch.bfloat16 if native else torch.float32)
