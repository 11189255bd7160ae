"""No-ops through Celery on Redis, with no result backend: no record of any."""

import os
import sys

from celery import Celery

from benchmarks.others import ledger

app = Celery(broker=os.environ["REDIS_URL"].replace("unix://", "redis+socket://"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop() -> None:
    """Do nothing, and note when."""
    ledger.note()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.delay()
