"""`carina export labels`: what readers said, as tables and masks to train on."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from pathlib import Path

from service import app
from service.commands import export_secret, export_table
from service.dicom.deidentify import pseudonym
from service.records import AuditEvent, Review, StudyResult
from service.review import labels, mask
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects


def labels_to(
    settings: Settings, folder: Path, *, pseudonyms: bool, comments: bool, superseded: bool
) -> int:
    """Write the labels into a new or empty folder; 1 where there is no review.

    Raises
    ------
    UsageError : the folder holds files already, or the export secret cannot be used.
    """
    export_table.insist_on_empty(folder)
    key = export_secret.given(settings)
    objects = open_objects(
        settings.object_store_url, settings.object_store_endpoint, settings.data_dir / "objects"
    )
    with closing(app.open_index(settings)) as index:
        every = index.reviews(superseded=True)
        results = {name: index.result(name) for name in {one.result_id for one in every}}
        rows = labels.review_rows(
            every,
            results,
            pseudonyms=pseudonyms,
            comments=comments,
            patient=partial(pseudonym, key=key) if key else None,
        )
        chosen = [
            (one, row)
            for one, row in zip(every, rows, strict=True)
            if superseded or one.superseded_by is None
        ]
        if not chosen:
            print("no review has been kept: nothing to export")
            return 1
        _audit(index, {one.patient_id for one, _ in chosen}, len(chosen))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        masks = [
            row for one, _ in chosen for row in _masks(objects, one, results[one.result_id], folder)
        ]
    export_table.write(folder / "reviews", [row for _, row in chosen], labels.REVIEW_COLUMNS)
    export_table.write(folder / "masks", masks, labels.MASK_COLUMNS)
    print(f"{len(chosen)} reviews, {len(masks)} masks -> {folder}")
    return 0


def _masks(
    objects: ObjectStore, review: Review, result: StudyResult, folder: Path
) -> list[dict[str, labels.Cell]]:
    """Write the masks of a review on the grid of its film; their rows."""
    if not review.contours:
        return []
    note = json.loads(objects.get(result.artifacts["viewer"]))
    height = int(note.get("original_height", note["height"]))
    width = int(note.get("original_width", note["width"]))
    rows: list[dict[str, labels.Cell]] = []
    for one in review.contours:
        name = f"masks/{review.review_id}_{one.name}.png"
        pixels = mask.enlarged(objects.get(one.mask), (height, width))
        (folder / "masks").mkdir(exist_ok=True)
        (folder / name).write_bytes(mask.mask_png(pixels))
        rows.append(
            {
                "review_id": review.review_id,
                "sop_instance_uid_sha256": labels.digest(review.sop_instance_uid),
                "structure": one.name,
                "mask": name,
                "height": height,
                "width": width,
                "dice": one.dice,
            }
        )
    return rows


def _audit(index: Index, patients: set[str], count: int) -> None:
    """One row for each patient whose labels leave, before they do."""
    now = app.clock()
    index.add_audits(
        [
            AuditEvent(
                now, "console", "export", "success", patient_id, address="local",
                detail=f"labels of {count} reviews",
            )
            for patient_id in sorted(patients)
        ]
    )  # fmt: skip
