"""Jobs give way to who sends and who reads."""

import os
import threading

from service.jobs.priority import JOBS_NICE, give_way


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_job_and_the_threads_it_starts_are_nicer_and_nobody_else_is() -> None:
    before, seen = _niceness(), []

    def work() -> None:
        give_way()
        give_way()
        seen.append(_niceness())
        helper = threading.Thread(target=lambda: seen.append(_niceness()))
        helper.start()
        helper.join()

    job = threading.Thread(target=work)
    job.start()
    job.join()
    assert seen == [max(before, JOBS_NICE)] * 2
    assert _niceness() == before
