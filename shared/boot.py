"""How a scheduler or a worker begins: settings, log, database."""

import logging

from shared import db, log, migrations, settings
from shared.log import Trouble
from shared.process import StopFlag
from shared.settings import Settings

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0


def boot(stop: StopFlag) -> Settings | None:
    """The settings, once the database that they name is there. None: *stop* was raised meanwhile.

    Raises `SettingsError` if a setting is wrong or a migration is missing.
    """
    configured = settings.load()
    log.setup(configured.log_level)
    database = db.connect(configured.database_url, connections=configured.database_connections)
    trouble = Trouble(logger, "reach the database")
    while not stop.is_set():
        try:
            migrations.require_current(database)
        except db.UNREACHABLE as error:
            trouble.begins(error)
            stop.wait(_TRY_AGAIN_SECONDS)
        else:
            trouble.ends()
            return configured
    return None
