"""What the views need beside the database: made once for each application."""

import logging
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from flask import current_app
from redis import Redis

from api.bookkeeping import Bookkeeper
from api.live import Watch
from api.long_requests import LongRequests
from shared import clock, db, failpoints
from shared.dispatch import Dispatcher
from shared.history import RunProgress
from shared.log import Trouble
from shared.reference import ReferenceClock
from shared.settings import Settings
from shared.tokens import Doorkeeper

KEY = "agent_manager"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The settings, who knows the tokens, the way to the workers, who tells and notes what happens.

    `clock` is the database's, as of the last request that changed something.
    """

    settings: Settings
    doorkeeper: Doorkeeper
    redis: Redis
    dispatcher: Dispatcher
    long_requests: LongRequests
    live_batches: Watch[dict[str, Any]]
    live_runs: Watch[RunProgress]
    clock: ReferenceClock = field(default_factory=lambda: ReferenceClock(lambda: clock.now()))
    bookkeeper: Bookkeeper = field(default_factory=Bookkeeper)
    # Over when a request could be served again.
    database_trouble: Trouble = field(default_factory=lambda: Trouble(logger, "reach the database"))

    def end_watching(self) -> None:
        """Have all who watch something go. Safe to be called by a signal handler."""
        self.live_batches.close()
        self.live_runs.close()

    def dispatch(self, run_id: UUID) -> None:
        """Send a run that was just committed. What fails here is left to the scheduler."""
        failpoints.reach("api.before_dispatch")
        try:
            self.dispatcher.at_once(run_id, self.clock.now())
        except db.UNREACHABLE as error:
            logger.warning("run %s left to the scheduler to dispatch: %s", run_id, error)


def services() -> Services:
    """Those of the application that answers the request."""
    return cast(Services, current_app.extensions[KEY])
