"""Jobs give way: who sends a film or opens a page is served before one more film is scored."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

JOBS_NICE = 10  # a tenth of the processor's time beside a busy thread of niceness 0

_gave_way = threading.local()


def give_way() -> None:
    """Lower the priority of the calling thread, and of the threads that it starts, for good.

    On Linux niceness belongs to a thread. Where the system does not allow it nothing changes.
    """
    if getattr(_gave_way, "done", False):
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), JOBS_NICE)
    _gave_way.done = True
