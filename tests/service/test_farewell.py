"""A process that is told to end does so on time."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import ROOT

HELD = """
import threading
from service import app, farewell
from service.settings import Settings

app.configure_logging(Settings(data_dir="."))
threading.Thread(target=threading.Event().wait).start()  # not a daemon: waited for at the end
farewell.end_within(0.2)
"""


def test_a_process_that_a_thread_holds_ends_on_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    said = json.loads(done.stderr.splitlines()[-1])
    assert (said["event"], said["seconds"]) == ("end not waited for", 0.2)
