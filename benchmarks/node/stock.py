"""A data directory as it is after a long time: many studies kept, each with its result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from sqlalchemy import Connection, Table, create_engine, insert

from service.store.tables import INSTANCES, PATIENTS, RESULTS, STUDIES

INSTANCES_OF_STUDY = 2
STUDIES_OF_PATIENT = 4
_ROWS_AT_ONCE = 5000
_CONTENT = b"an object of no importance"


def fill(data_dir: Path, instances: int) -> None:
    """Put so many instances with small objects into a migrated data directory that is at rest."""
    engine = create_engine(f"sqlite:///{data_dir / 'carina.sqlite'}")
    studies = instances // INSTANCES_OF_STUDY
    with engine.begin() as connection:
        _insert(connection, PATIENTS, ({"patient_id": f"STOCK-{n}"} for n in range(
            studies // STUDIES_OF_PATIENT + 1)))  # fmt: skip
        _insert(connection, STUDIES, map(_study, range(studies)))
        _insert(connection, INSTANCES, map(_instance, range(instances)))
        _insert(connection, RESULTS, map(_result, range(studies)))
        for key in connection.execute(INSTANCES.select()).mappings():
            _write(data_dir / "objects" / key["object_key"])
    engine.dispose()


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == _ROWS_AT_ONCE:
            connection.execute(insert(table), part)
            part = []
    if part:
        connection.execute(insert(table), part)


def _write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_CONTENT)


def _moment(study: int) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * study)


def _study(number: int) -> dict[str, Any]:
    return {
        "study_uid": f"1.2.3.{number}",
        "patient_id": f"STOCK-{number // STUDIES_OF_PATIENT}",
        "acquired_at": _moment(number),
        "received_at": _moment(number),
        "ordered_at": _moment(number),
        "revision": INSTANCES_OF_STUDY,
        "scored_revision": INSTANCES_OF_STUDY,
    }


def _instance(number: int) -> dict[str, Any]:
    study, name = number // INSTANCES_OF_STUDY, uuid4().hex
    return {
        "sop_instance_uid": f"1.2.3.{study}.1.{number}",
        "sop_class_uid": ComputedRadiographyImageStorage,
        "series_uid": f"1.2.3.{study}.1",
        "study_uid": f"1.2.3.{study}",
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "object_key": f"{name[:2]}/{name}.dcm",
        "sha256": hashlib.sha256(_CONTENT).hexdigest(),
        "size_bytes": len(_CONTENT),
        "received_at": _moment(study),
        "source": "import",
        "modality": "CR",
        "state": "stored",
    }


def _result(study: int) -> dict[str, Any]:
    return {
        "result_id": str(uuid4()),
        "study_uid": f"1.2.3.{study}",
        "patient_id": f"STOCK-{study // STUDIES_OF_PATIENT}",
        "sop_instance_uid": f"1.2.3.{study}.1.{study * INSTANCES_OF_STUDY}",
        "status": "ok",
        "created_at": _moment(study),
        "artifacts": {},
        "seconds": 1.0,
        "revision": INSTANCES_OF_STUDY,
    }
