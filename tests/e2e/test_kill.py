"""A power cut loses nothing that was acknowledged."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from tests.e2e import films
from tests.e2e.node import Node, listed, wait_for
from tests.e2e.test_push_to_page import result_of

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]


def test_kill_9_in_the_middle_loses_no_acknowledged_film_and_scores_each_once(
    lonely_node: Node, tmp_path: Path
) -> None:
    now = datetime.now()
    names = sorted(path.name for path in films.WARD.glob("P-1005-*.dcm"))
    files = [
        films.dated(name, tmp_path / "films", now - timedelta(days=3 - number))
        for number, name in enumerate(names)
    ]
    films.storescu(lonely_node, *files)  # returns when all are acknowledged, hardly one is scored
    lonely_node.kill()
    lonely_node.start()
    with closing(lonely_node.client("admin")) as client:
        for file in files:
            ds = pydicom.dcmread(file, stop_before_pixels=True)
            result = wait_for(
                "a result", lambda uid=str(ds.StudyInstanceUID): result_of(client, uid)
            )
            assert result["sop_instance_uid"] == ds.SOPInstanceUID
            every = listed(
                client.get("/api/v1/results", params={"study_uid": str(ds.StudyInstanceUID)}),
                "results",
            )
            assert sum(one["current"] for one in every) == 1
            priors = [(one["change"] or {}).get("prior_study_uid") for one in every]
            assert len(set(priors)) == len(priors)  # judged again only for another prior
