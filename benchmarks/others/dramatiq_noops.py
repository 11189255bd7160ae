"""No-ops through Dramatiq as it comes: its Redis broker, its middleware, and no record of any."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.others import ledger

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    """Do nothing, and note when."""
    ledger.note()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.send()
