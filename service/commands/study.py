"""`carina study delete STUDY_UID --reason WHY`."""

from __future__ import annotations

from service import app, audit
from service.settings import Settings
from service.store.deletions import sweep


def delete(settings: Settings, study_uid: str, reason: str) -> int:
    """Delete a study with everything that was made of it, rows first, then bytes.

    Raises
    ------
    NotFoundError : there is no such study.
    OutOfResourcesError : the object store is away; the study is gone, its bytes follow.
    """
    app.configure_logging(settings)
    parts = app.build(settings, "enqueue")
    try:
        parts.engine.start()
        event = audit.act("console", app.clock(), "local", action="delete", what=reason)
        done, stale = parts.index.delete_study(study_uid, reason, event)
        for other in stale:
            parts.engine.study_arrived(other)
        parts.engine.risk_due(done.patient_id)
        swept = sweep(parts.index, parts.objects)
    finally:
        parts.close()
    print(f"deleted the study and {swept} objects; {len(stale)} studies are judged again")
    return 0
