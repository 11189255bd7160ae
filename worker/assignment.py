"""Which queue a worker consumes: that of schedules and requests, or that of a compute profile."""

import logging

from shared import compute, db, tally
from shared.errors import Invalid, SettingsError
from shared.log import Trouble
from shared.messages import RUNS_QUEUE
from shared.process import StopFlag
from shared.settings import Settings, variable
from shared.tally import Count

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0


def queue(settings: Settings, stop: StopFlag) -> str | None:
    """The queue to consume. None: *stop* was raised before the database could be asked.

    Raises `SettingsError` if there is no such compute profile.
    """
    if not settings.compute:
        return RUNS_QUEUE
    trouble = Trouble(logger, "look up its compute profile")
    while not stop.is_set():
        try:
            with db.transaction():
                profile = compute.usable(settings.compute, field=variable("compute"))
        except Invalid as error:
            raise SettingsError(str(error)) from None
        except db.UNREACHABLE as error:
            tally.add(Count.DATABASE_RETRIES)
            trouble.begins(error)
            stop.wait(_TRY_AGAIN_SECONDS)
        else:
            trouble.ends()
            return profile.queue
    return None
