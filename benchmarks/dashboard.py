"""`make bench-dashboard`: the worklist of a large hospital, beside its bars; 1 where one is missed.

Ten thousand admitted patients with 48 hourly risks each lie in an index of their own. The pages
are served by `carina serve` in a process of its own, without a worker. First one client asks for
the page and the API under every order, filter, search and depth (none of it is remembered between
two requests: a piece of news arrives before each). Then fifty browsers follow the list as the
page's script does, each with its event stream, its renewals and now and then another view, while
results keep arriving. Last, Chromium says when it first painted the list.

The risks before the newest one carry no contributions: the list reads only their probability.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, table
from benchmarks.ward import browsers, paint, requests
from benchmarks.ward.house import House
from benchmarks.ward.stock import fill

BARS = (
    *(
        Bar(f"{what}, p95, ms", f"alone/{kind}/p95_ms", high=200)
        for kind, what in (
            ("page", "page under every order, filter and depth"),
            ("page_slowest", "page under the slowest of them"),
            ("api", "API under every order, filter and depth"),
            ("api_slowest", "API under the slowest of them"),
        )
    ),
    Bar("page while 50 browsers follow, p95, ms", "crowd/page/p95_ms", high=300),
    Bar("renewal while 50 browsers follow, p95, ms", "crowd/renewal/p95_ms", high=300),
    Bar("API while 50 browsers follow, p95, ms", "crowd/api/p95_ms", high=300),
    Bar("opening an event stream, p95, ms", "crowd/stream/p95_ms", high=300),
    Bar("requests that failed", "crowd/failed", high=0),
    Bar("news that a browser missed", "crowd/news_missed", high=0),
    Bar("news heard by each browser", "crowd/news_heard_by_each", low=1),
    Bar("first paint of the worklist, ms", "paint/first_paint_ms", high=500),
)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    chosen = _options().parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="carina-ward-") as folder:
        stock = fill(Path(folder), chosen.patients)
        with House(Path(folder)) as house:
            found: dict[str, Any] = {"stock": {"patients": chosen.patients, "seconds": stock}}
            found["alone"] = requests.measure(house, chosen.rounds)
            found["crowd"] = browsers.measure(
                house, chosen.patients, chosen.browsers, chosen.seconds
            )
            found["paint"] = paint.measure(house)
    print(json.dumps(found, indent=1), file=sys.stderr)
    print("\n".join(table(BARS, found)))
    return 0 if all(bar.is_kept(found) for bar in BARS) else 1


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, help="where the index is made; /tmp")
    options.add_argument("--patients", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=20, help="requests of each kind")
    options.add_argument("--browsers", type=int, default=50)
    options.add_argument("--seconds", type=float, default=60, help="how long they follow")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
