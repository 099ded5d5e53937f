"""A bounded place for computations, so that films never hold up the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from service.errors import OutOfResourcesError

T = TypeVar("T")


class Bench:
    """Runs computations on threads: a few at once, some waiting, the rest told to come back.

    Parameters
    ----------
    at_once : computations at the same time.
    waiting : how many more may wait for their turn.
    """

    def __init__(self, at_once: int = 2, waiting: int = 32) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._waiting = waiting

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread and give its result.

        Raises
        ------
        OutOfResourcesError : too many are waiting already.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise OutOfResourcesError(
                f"{self._waiting} computations are waiting already; try again in some seconds"
            )
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
