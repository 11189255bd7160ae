"""Agent Manager as it is deployed: processes of the Procfile, up, warm, and waiting for work."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import records, seed
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.system import System, running
from shared import clock

_WARM_UP_RUNS = 100
_PATIENCE_SECONDS = 60


@contextmanager
def deployed(stage: Stage, kind: Kind, processes: list[str], **environ: str) -> Iterator[System]:
    """*processes* on a database of *kind*, *environ* without its prefix; workers are among them."""
    settings = {f"AGENT_MANAGER_{name}": value for name, value in environ.items()}
    with stage.database(kind) as url, stage.folder() as folder:
        call(seed.empty, url)
        servers = {"DATABASE_URL": url, "REDIS_URL": stage.redis()}
        with running(folder, **servers, **settings) as system:
            for process in processes:
                system.start(process)
            if "web" in processes:
                system.wait_until_it_serves("/healthz")
            wait_for_workers(system, processes.count("worker") + processes.count("batch"))
            since = clock.now()
            call(seed.queued_runs, url, _WARM_UP_RUNS)
            call(records.until_ended, url, _WARM_UP_RUNS, since, _PATIENCE_SECONDS)
            yield system


def wait_for_workers(system: System, count: int) -> None:
    """Wait until *count* workers have entered themselves."""
    system.wait_until(lambda: call(records.workers, system.database_url) == count, "the workers")
