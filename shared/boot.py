"""How a scheduler or a worker begins: settings, log, database, Redis."""

import logging

import redis

from shared import db, log, messages, migrations, settings, surroundings, tally
from shared.errors import SettingsError
from shared.findings import FAIL, WARN
from shared.log import Trouble
from shared.process import StopFlag
from shared.settings import Settings
from shared.tally import Count

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0


def boot(stop: StopFlag) -> Settings | None:
    """The settings, once the database that they name is there. None: *stop* was raised meanwhile.

    Raises `SettingsError` if a setting is wrong, a migration is missing, or Redis evicts messages.
    """
    configured = settings.load()
    log.setup(configured.log_level)
    database = db.connect(
        configured.database_url,
        connections=configured.database_connections,
        patience=configured.database_timeout,
    )
    trouble = Trouble(logger, "reach the database")
    while not stop.is_set():
        try:
            migrations.require_current(database)
        except db.UNREACHABLE as error:
            tally.add(Count.DATABASE_RETRIES)
            trouble.begins(error)
            stop.wait(_TRY_AGAIN_SECONDS)
        else:
            trouble.ends()
            _look_at_redis(configured.redis_url)
            return configured
    return None


def _look_at_redis(url: str) -> None:
    """Refuse a Redis that loses whole queues when it is full; one that is away may come back."""
    try:
        with messages.publisher(url) as client:
            finding = surroundings.keeping(surroundings.eviction_policy(client))
    except redis.RedisError as error:
        logger.error("cannot reach Redis, will keep trying: %s", error)
        return
    if finding.status is FAIL:
        raise SettingsError(f"{finding.says} {finding.cure}")
    if finding.status is WARN:
        logger.warning("%s %s", finding.says, finding.cure)
