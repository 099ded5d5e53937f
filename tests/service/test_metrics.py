"""The metrics are documented, and the gauges say what the index says."""

from __future__ import annotations

import io
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from service import app, metrics
from service.store.index import Index

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROW = re.compile(r"^\| `(carina_\w+)` \|([^|]*)\|", re.MULTILINE)


def test_every_metric_is_documented_with_its_labels() -> None:
    documented = {
        name: tuple(re.findall(r"`(\w+)`", labels))
        for name, labels in ROW.findall((DOCS / "operations.md").read_text())
    }
    known = {}
    for metric in metrics.METRICS:
        suffix = "_total" if metric._type == "counter" else ""
        known[metric._name + suffix] = tuple(metric._labelnames)
    assert documented == known


def test_the_gauges_repeat_the_index(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}")
    index.migrate()
    metrics.show(index.counts() | {"studies_pending": 3}, free_mb=1234)
    index.close()
    text = metrics.text().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["carina_queue_depth",] == 3
    assert samples["carina_free_megabytes",] == 1234
    assert samples["carina_deliveries", "failed"] == 0
    assert samples["carina_results", "ok"] == 0


def test_what_a_listener_process_counts_is_counted_once() -> None:
    before = metrics.received().get("c-store stored", 0.0)
    told = io.BytesIO(b'{"c-store stored": 2}\nprinted\n7\n{"c-store stored": 3}\n')
    app.hear_counts(told)
    assert metrics.received()["c-store stored"] == before + 3
    assert told.closed
