"""`carina serve` over a filled folder, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import httpx

from benchmarks.ward.stock import PASSWORD, USERNAME, patient_id
from service.settings import Settings
from service.store.index import Index
from tests.e2e.node import free_port

ROOT = Path(__file__).parents[2]
START_S = 90.0


class House:
    """The served index, and a second hand that writes results into it as a worker does.

    Nothing is worked on in the serving process: what is measured is pages, API and events.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = f"http://127.0.0.1:{free_port()}"
        self.index = Index(Settings(data_dir=folder).index_url)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> House:
        """Start serving."""
        environment = {
            **os.environ,
            "CARINA_DATA_DIR": str(self.folder),
            "CARINA_HTTP_PORT": self.base.rpartition(":")[2],
            "CARINA_DICOM_HOST": "127.0.0.1",
            "CARINA_DICOM_PORT": str(free_port()),
            "CARINA_WORKERS": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], cwd=ROOT, env=environment
        )
        self._await_answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        self.index.close()

    @property
    def pid(self) -> int:
        """The serving process."""
        assert self._process is not None
        return self._process.pid

    def cookies(self) -> httpx.Cookies:
        """One login through the form: browsers of one ward share its account."""
        data = {"username": USERNAME, "password": PASSWORD}
        with httpx.Client(base_url=self.base, headers={"origin": self.base}) as client:
            answer = client.post("/login", data=data)
            if answer.status_code != httpx.codes.SEE_OTHER:
                raise SystemExit(f"expected to be logged in, found {answer.status_code}")
            return client.cookies

    def tell(self, number: int) -> None:
        """A new risk of one patient, as a worker writes it: record, worklist, news."""
        now = datetime.now(UTC)
        record = self.index.current_risk(patient_id(number))
        if record is None:
            raise SystemExit("expected a risk of each patient, found none")
        at = max(now, record.at + timedelta(seconds=1))
        self.index.add_risk(replace(record, risk_id=str(uuid4()), at=at, computed_at=at))

    def _await_answer(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.base}/login", timeout=5).is_success:
                    return
            time.sleep(0.1)
        raise SystemExit(f"expected pages on {self.base}, found none after {START_S:.0f} s")
