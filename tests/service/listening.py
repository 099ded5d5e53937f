"""A DICOM port and a worker in this process, with the small science behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context

from service.dicom.ingest import Ingest
from service.dicom.listener import serve
from service.jobs.engine import Engine, clock
from service.jobs.pipeline import Models
from service.settings import Settings
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects
from tests.service.jobs.science import SMALL, SMALL_RISK, Pacs, outbox
from tests.service.jobs.test_engine import until

SUCCESS = 0x0000


@dataclass
class Node:
    """Listener and worker in this process, the small science behind them."""

    index: Index
    objects: ObjectStore
    engine: Engine
    pacs: Pacs
    port: int
    acknowledged: set[str] = field(default_factory=set)

    @contextmanager
    def association(self) -> Iterator[Callable[[Dataset], int]]:
        """An open association: give it films, it gives the status that the sender is told."""
        context = build_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
        ae = AE(ae_title="SENDER")
        ae.dimse_timeout = ae.acse_timeout = 120
        assoc = ae.associate("127.0.0.1", self.port, [context], ae_title="CARINA")
        assert assoc.is_established

        def send(ds: Dataset) -> int:
            status = int(assoc.send_c_store(ds).Status)
            if status == SUCCESS:
                self.acknowledged.add(str(ds.StudyInstanceUID))
            return status

        yield send
        assoc.release()

    def send(self, ds: Dataset) -> int:
        """One film over an association of its own."""
        with self.association() as send:
            return send(ds)

    def is_done(self) -> bool:
        """Whether every acknowledged study is judged and its reports are sent."""
        if self.index.pending_studies():
            return False
        if not all(self.index.current_result(study) for study in self.acknowledged):
            return False
        return self.index.counts()["deliveries_delivered"] == 2 * len(self.acknowledged)

    def assert_each_once(self) -> None:
        """One result for each study, two reports, each sent."""
        until(self.is_done, seconds=100)
        assert self.index.counts()["studies"] == len(self.acknowledged)
        for study in self.acknowledged:
            assert [one.status for one in self.index.results(study)] == ["ok"]
            assert [one.modality for one in self.index.instances(study)] == ["CR", "SR", "SEG"]
        sent = [str(ds.SOPInstanceUID) for ds in self.pacs.taken]
        assert len(sent) == len(set(sent)) == 2 * len(self.acknowledged)


@contextmanager
def running(
    folder: Path, models: Models = SMALL, clock: Callable[[], datetime] = clock, **chosen: Any
) -> Iterator[Node]:
    settings = Settings(
        data_dir=folder, dicom_host="127.0.0.1", dicom_port=0, min_free_disk_mb=0, **chosen
    )
    pacs = Pacs()
    with closing(Index(settings.index_url)) as index:
        index.migrate()
        objects = open_objects(
            settings.object_store_url, settings.object_store_endpoint, folder / "objects"
        )
        engine = Engine(settings, index, objects, models, risk_models=SMALL_RISK,
                        outbox=outbox(pacs, "PACS@host:104"), clock=clock)  # fmt: skip
        ingest = Ingest(index, objects, engine.study_arrived, clock, min_free_disk_mb=0)
        engine.start()
        port = serve(settings, ingest)
        try:
            yield Node(index, objects, engine, pacs, port.port)
        finally:
            port.stop()
            engine.stop(grace_s=0)
