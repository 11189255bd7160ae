"""No-ops through procrastinate, which keeps its jobs in PostgreSQL."""

import os
import sys

from procrastinate import App, PsycopgConnector

from benchmarks.others import ledger

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task(name="noop")
async def noop() -> None:
    """Do nothing, and note when."""
    ledger.note()


if __name__ == "__main__":
    with app.open():
        noop.batch_defer(*[{}] * int(sys.argv[1]))
