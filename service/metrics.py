"""Everything that is measured while the service runs, in one place, for Prometheus.

Counters count what this process did since it started. Gauges repeat what the index says of the
whole installation (`show`), so that they are right whichever process is asked. Names and meanings
are in docs/operations.md; a test insists.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)

RECEIVED = Counter(
    "carina_received_total",
    "DICOM objects taken in or refused, by way (c-store, stow, import, pull) and outcome",
    ("way", "outcome"),
    registry=REGISTRY,
)
STUDIES = Counter(
    "carina_studies_total", "Studies worked on, by status of the result", ("status",),
    registry=REGISTRY,
)  # fmt: skip
REFUSALS = Counter(
    "carina_refusals_total", "Studies refused, by refusal code", ("code",), registry=REGISTRY
)
STUDY_SECONDS = Histogram(
    "carina_study_seconds", "Time from the start of a study's run to its result",
    buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
WAIT_SECONDS = Histogram(
    "carina_wait_seconds", "Time from the study's first object to the start of its run",
    buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
RISKS = Counter(
    "carina_risks_total", "Ventilation risks computed, by status", ("status",), registry=REGISTRY
)
SENT = Counter(
    "carina_sent_total", "Attempts to send a result object, by outcome", ("outcome",),
    registry=REGISTRY,
)  # fmt: skip
PRIORS = Counter(
    "carina_priors_total", "Attempts to pull priors from the PACS, by outcome", ("outcome",),
    registry=REGISTRY,
)  # fmt: skip
DELETED = Counter(
    "carina_deleted_total", "What the retention rules deleted, by kind", ("kind",),
    registry=REGISTRY,
)  # fmt: skip
REQUESTS = Counter(
    "carina_http_requests_total", "HTTP requests, by method, route and status",
    ("method", "route", "status"), registry=REGISTRY,
)  # fmt: skip
REQUEST_SECONDS = Histogram(
    "carina_http_request_seconds", "Time to answer an HTTP request, by route", ("route",),
    buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip

KEPT = Gauge("carina_kept", "What is kept, by kind", ("kind",), registry=REGISTRY)
RESULTS = Gauge("carina_results", "Results in force, by status", ("status",), registry=REGISTRY)
DELIVERIES = Gauge("carina_deliveries", "Deliveries, by state", ("state",), registry=REGISTRY)
CONFLICTS = Gauge("carina_conflicts", "Objects kept aside as conflicts", registry=REGISTRY)
QUEUE_DEPTH = Gauge("carina_queue_depth", "Studies that wait to be scored", registry=REGISTRY)
LEFTOVERS = Gauge(
    "carina_leftovers", "Deleted objects whose bytes are still there", registry=REGISTRY
)
FREE_MB = Gauge("carina_free_megabytes", "Room left in the object store", registry=REGISTRY)

METRICS = (RECEIVED, STUDIES, REFUSALS, STUDY_SECONDS, WAIT_SECONDS, RISKS, SENT, PRIORS,
           DELETED, REQUESTS, REQUEST_SECONDS, KEPT, RESULTS, DELIVERIES, CONFLICTS, QUEUE_DEPTH,
           LEFTOVERS, FREE_MB)  # fmt: skip


def show(counts: Mapping[str, int], free_mb: int) -> None:
    """Set the gauges from `Index.counts()` and `ObjectStore.free_mb()`."""
    for kind in ("patients", "studies", "instances"):
        KEPT.labels(kind).set(counts[kind])
    for status in ("ok", "refused", "failed"):
        RESULTS.labels(status).set(counts[f"results_{status}"])
    for state in ("waiting", "delivered", "failed"):
        DELIVERIES.labels(state).set(counts[f"deliveries_{state}"])
    CONFLICTS.set(counts["instances_conflict"])
    QUEUE_DEPTH.set(counts["studies_pending"])
    LEFTOVERS.set(counts["leftovers"])
    FREE_MB.set(free_mb)


def received() -> dict[str, float]:
    """What this process counted of the objects it received, by way and outcome."""
    (family,) = RECEIVED.collect()
    return {
        f"{sample.labels['way']} {sample.labels['outcome']}": sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def add_received(now: Mapping[str, float], before: Mapping[str, float]) -> None:
    """Count what another process has received since it was heard before; as of `received`."""
    for name, value in now.items():
        way, outcome = name.split(" ")
        RECEIVED.labels(way, outcome).inc(value - before.get(name, 0.0))


def text() -> bytes:
    """Everything in the Prometheus text format."""
    return generate_latest(REGISTRY)
