"""`make bench`: measure every shipped model on the research data, into evaluation/."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.__main__ import main as carina
from service.commands.train import MODULES


def main() -> int:
    """Run `carina evaluate` for each model; the worst exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("names", nargs="*", choices=[*MODULES, []], default=list(MODULES))
    chosen = options.parse_args()
    return max(carina(["evaluate", name, "--data", str(chosen.data)]) for name in chosen.names)


if __name__ == "__main__":
    raise SystemExit(main())
