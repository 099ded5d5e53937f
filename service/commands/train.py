"""`carina train NAME --data DIR -o DIR` and `carina evaluate NAME --data DIR`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from service.errors import UsageError

MODULES = {
    "severity": "models.severity",
    "structures": "models.structures",
    "registration": "registration",
    "quality": "models.quality",
    "ventilation": "risk",
    "outpatient": "risk",
}
RISK = ("ventilation", "outpatient")


def train(name: str, data: Path, out: Path, *, resume: bool, quick: bool) -> int:
    """Train one model on `data`, laid out as docs/researcher.md says."""
    _exists(data)
    module = _module(name, "train")
    if name in RISK:
        module.train(name, data, out, quick=quick)
    else:
        module.train(data, out, resume=resume, quick=quick)
    print(f"trained {name} -> {out}")
    return 0


def evaluate(name: str, data: Path, out: Path, run: Path | None) -> int:
    """Measure one model on `data`; card and plots go to `out`."""
    _exists(data)
    module = _module(name, "evaluate")
    found: dict[str, Any]
    if name in RISK:
        found = module.evaluate(name, data, out, run=run)
    else:
        found = module.evaluate(data, out, run=run)
    print(json.dumps(found, indent=2, default=str))
    print(f"card and plots -> {out}")
    return 0


def _exists(data: Path) -> None:
    if not data.exists():
        raise UsageError(f"expected data at {data}, found nothing there: check --data")


def _module(name: str, step: str) -> Any:
    """The training or evaluation module, imported only now: it may need the extra [train]."""
    try:
        return importlib.import_module(f"{MODULES[name]}.{step}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in MODULES[name]:
            raise
        raise UsageError(
            f"expected the package {error.name} for carina {step} {name}, found none: "
            "pip install 'carina[train]'"
        ) from error
