"""As many no-ops as there are echo runs, through others' queues, on the same servers."""

from typing import NamedTuple

from benchmarks.others import ledger
from benchmarks.stage import Kind, Stage
from benchmarks.system import running

_WARM_UP = 100
_MODULES = "benchmarks.others"


class Other(NamedTuple):
    """A queue, with the commands that prepare it, and that work on it."""

    name: str
    module: str
    workers: tuple[str, ...]
    set_up: str | None = None

    def rate(self, stage: Stage, count: int) -> float:
        """No-ops a second, from the first to the last of *count*.

        The queue is filled by its own client while its workers, which are up and warm, are paused.
        """
        with stage.database(Kind.POSTGRES) as url, stage.folder() as folder:
            file = folder / "ledger"
            environ = {"DATABASE_URL": url, "REDIS_URL": stage.redis(), "LEDGER": str(file)}
            with running(folder, **environ) as system:
                if self.set_up:
                    system.call("set-up", self.set_up)
                for command in self.workers:
                    system.execute("worker", command)
                fill = f"python -m {self.module}"
                system.call("fill", f"{fill} {_WARM_UP}")
                system.wait_until(lambda: ledger.count(file) >= _WARM_UP, "the first no-ops")
                with system.paused():
                    system.call("fill", f"{fill} {count}")
                everything, patience = _WARM_UP + count, 60 + count / 50
                system.wait_until(
                    lambda: ledger.count(file) >= everything, "the last no-op", patience
                )
            moments = ledger.moments(file)[_WARM_UP:]
        return len(moments) / (moments[-1] - moments[0])


def dramatiq(threads: int) -> Other:
    """Two processes with *threads* each."""
    module = f"{_MODULES}.dramatiq_noops"
    command = f"dramatiq {module} --processes 2 --threads {threads}"
    return Other("bare Dramatiq, Redis, no record", module, (command,))


def celery_prefork() -> Other:
    """Two processes, one task each at a time: Celery's default."""
    return _celery("prefork", "--concurrency 2")


def celery_threads(threads: int) -> Other:
    """Two processes with *threads* each."""
    options = f"--pool threads --concurrency {threads}"
    return _celery("threads", f"{options} --hostname one@%h", f"{options} --hostname two@%h")


def procrastinate(concurrency: int) -> Other:
    """Two processes with *concurrency* jobs each at a time."""
    module = f"{_MODULES}.procrastinate_noops"
    command = f"python -m procrastinate --app {module}.app"
    worker = f"{command} worker --concurrency {concurrency}"
    name = "procrastinate, keeps its jobs in PostgreSQL"
    return Other(name, module, (worker, worker), f"{command} schema --apply")


def _celery(name: str, *workers: str) -> Other:
    module = f"{_MODULES}.celery_noops"
    commands = tuple(f"celery --app {module} worker {options}" for options in workers)
    return Other(f"Celery, {name}, Redis, no result, no record", module, commands)
