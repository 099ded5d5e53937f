"""`carina patient merge OLD NEW --reason WHY`."""

from __future__ import annotations

from service import app, audit
from service.settings import Settings


def merge(settings: Settings, merged_id: str, patient_id: str, reason: str) -> int:
    """Move everything of one patient to another; the old identifier leads there from then on.

    Raises
    ------
    UsageError : both are the same patient.
    ConflictError : the first was merged before.
    NotFoundError : one of them is not known.
    """
    app.configure_logging(settings)
    parts = app.build(settings, "enqueue")
    try:
        parts.engine.start()
        event = audit.act("console", app.clock(), "local", action="merge", what=reason)
        done, stale = parts.index.merge_patients(merged_id, patient_id, reason, event)
        for study_uid in stale:
            parts.engine.study_arrived(study_uid)
        parts.engine.risk_due(done.patient_id)
    finally:
        parts.close()
    print(
        f"{merged_id} leads to {done.patient_id}: {len(done.moved['studies'])} studies, "
        f"{done.moved['observations']} observations; {len(stale)} studies are compared again"
    )
    return 0
