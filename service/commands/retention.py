"""`carina retention [--dry-run]`: delete what is older than the settings keep."""

from __future__ import annotations

from contextlib import closing

from service import app
from service.jobs.engine import keep_by
from service.settings import Settings
from service.store import retention
from service.store.deletions import sweep
from service.store.objects import open_objects


def run(settings: Settings, *, dry_run: bool) -> int:
    """Delete what is due, or only tell: one line for each study, then the counts."""
    app.configure_logging(settings)
    keep = keep_by(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        if dry_run:
            due = index.due(keep, app.clock())
        else:
            due = retention.apply(index, keep, "console", app.clock)
            sweep(index, objects)
    for study_uid in due.studies:
        print(study_uid)
    print(
        f"{'would delete' if dry_run else 'deleted'} {len(due.studies)} studies, "
        f"{sum(due.objects.values())} objects of other studies, "
        f"{sum(due.values.values())} observations and risks of {len(due.values)} patients"
    )
    return 0
