"""Many schedules and batches under random faults, for as long as is wanted, and then the checker.

    python tests/faults/soak.py --minutes 30 --seed 7 --database postgres

The seed is printed; it decides what is asked and what is broken, though not how the processes and
the machine take it. Exits with 1 if a promise was broken.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

FAULTS = Path(__file__).parent
sys.path[:0] = [str(FAULTS), str(FAULTS.parent), str(FAULTS.parent.parent)]

import record  # noqa: E402 - found only now, as all of these
from breaking import BreakableSystem, Process  # noqa: E402
from checker import check  # noqa: E402
from orders import Orders, Refused  # noqa: E402
from outside import Outside  # noqa: E402
from record import AWAY, Snapshot  # noqa: E402
from servers import Postgres, Valkey  # noqa: E402
from waiting import wait_until  # noqa: E402

from shared import clock, db  # noqa: E402
from shared.migrations import migrate  # noqa: E402

KINDS = ("web", "scheduler", "scheduler", "worker", "worker", "worker", "batch", "batch")
# As they follow each other at random, the database is whole most of the time.
ORDER_EVERY, FAULT_EVERY, LOOK_EVERY = 0.25, 4.0, 60.0
_SETTLED_WITHIN = 300.0


class Platform:
    """Keeps processes running, as Heroku or Kubernetes would: what has ended is started again."""

    def __init__(self, system: BreakableSystem) -> None:
        self._system = system
        self.processes: list[tuple[str, Process]] = []

    def start(self) -> None:
        """Start one process for each of `KINDS`."""
        self.processes = [(kind, self._system.start(kind)) for kind in KINDS]

    def tend(self) -> None:
        """Start again what has ended."""
        for number, (kind, process) in enumerate(self.processes):
            if process.poll() is not None:
                self.processes[number] = (kind, self._system.start_soon(kind))

    def any_of(self, kind: str, chance: random.Random) -> Process:
        """One of the processes of *kind*."""
        return chance.choice([process for each, process in self.processes if each == kind])


class Client:
    """Asks for what people ask for, by the API, and copes with getting no answer."""

    def __init__(self, orders: Orders, agents: list[str], chance: random.Random) -> None:
        self._orders = orders
        self._agents = agents
        self._chance = chance
        self.asked: Counter[str] = Counter()

    def ask(self) -> None:
        """Do one thing of many."""
        things: list[Callable[[], object]] = [
            *[self._once] * 6,
            *[self._now] * 4,
            *[self._minutely, self._trigger, self._change, self._delete],
            *[self._cancel] * 2,
            *[self._batch, self._move_batch],
        ]
        thing = self._chance.choice(things)
        try:
            thing()
        except (OSError, Refused):
            self.asked["unanswered"] += 1
        else:
            self.asked[thing.__name__.strip("_")] += 1

    def _agent(self) -> str:
        return self._chance.choice(self._agents)

    def _once(self) -> None:
        at = clock.now() + timedelta(seconds=self._chance.uniform(0.5, 8))
        self._orders.one_time(1, self._agent(), at=at, by_api=True, retry_backoff_seconds=1)

    def _minutely(self) -> None:
        overlap = self._chance.choice(["SKIP", "ALLOW"])
        how = {"overlap_policy": overlap, "retry_backoff_seconds": 1}
        self._orders.minutely(1, self._agent(), by_api=True, **how)

    def _now(self) -> None:
        priority = self._chance.randrange(10)
        self._orders.run(self._agent(), by_api=True, priority=priority)

    def _trigger(self) -> None:
        self._orders.trigger(self._any_schedule())

    def _change(self) -> None:
        fields = self._chance.choice(
            [{"message": "Stop"}, {"enabled": False}, {"priority": 9}, {"timezone": "Asia/Tokyo"}]
        )
        self._orders.change(self._any_schedule(), by_api=True, **fields)

    def _delete(self) -> None:
        self._orders.delete(self._any_schedule(), by_api=True)

    def _cancel(self) -> None:
        if self._orders.runs:
            self._orders.cancel(self._chance.choice(self._orders.runs[-50:]), by_api=True)

    def _batch(self) -> None:
        count, most = self._chance.randrange(1, 30), self._chance.choice([None, 1, 3])
        how = {"max_concurrency": most, "retry_backoff_seconds": 1}
        self._orders.batch(self._agent(), count, by_api=True, **how)

    def _move_batch(self) -> None:
        if self._orders.batches:
            batch_id = self._chance.choice(self._orders.batches[-10:])
            action = self._chance.choice(["pause", "resume", "resume", "cancel"])
            self._orders.move(batch_id, action)

    def _any_schedule(self) -> Any:
        if not self._orders.known:
            self._once()
        return self._chance.choice(self._orders.known)


class Saboteur:
    """Breaks one thing at a time, and mends what does not mend itself."""

    def __init__(
        self,
        system: BreakableSystem,
        platform: Platform,
        valkey: Valkey,
        postgres: Postgres | None,
        chance: random.Random,
    ) -> None:
        self._system, self._platform = system, platform
        self._valkey, self._postgres = valkey, postgres
        self._chance = chance
        self._thaw_at: list[tuple[float, Process]] = []
        self.struck: Counter[str] = Counter()

    def strike(self) -> None:
        """Break something."""
        faults = [self._kill] * 4 + [self._terminate] * 2 + [self._freeze] * 2
        faults += [self._wipe_redis] * 2 + [self._restart_redis]
        if self._postgres is not None:
            faults += [self._restart_postgres, self._cut_connections]
        fault = self._chance.choice(faults)
        fault()
        self.struck[fault.__name__.strip("_").replace("_", " ")] += 1

    def mend(self, *, all_of_it: bool = False) -> None:
        """Thaw what has been frozen for long enough."""
        for at, process in list(self._thaw_at):
            if all_of_it or time.monotonic() >= at:
                self._thaw_at.remove((at, process))
                if process.poll() is None:
                    self._system.thaw(process)

    def _any(self) -> Process:
        return self._platform.any_of(self._chance.choice(KINDS), self._chance)

    def _kill(self) -> None:
        process = self._any()
        if process.poll() is None:
            self._system.kill(process)

    def _terminate(self) -> None:
        self._any().send_signal(signal.SIGTERM)

    def _freeze(self) -> None:
        process = self._platform.any_of(
            self._chance.choice(["worker", "scheduler", "batch"]), self._chance
        )
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            for_seconds = self._chance.uniform(0.5, 6)
            self._thaw_at.append((time.monotonic() + for_seconds, process))

    def _wipe_redis(self) -> None:
        self._valkey.flush()

    def _restart_redis(self) -> None:
        self._valkey.kill()
        self._valkey.start()

    def _restart_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres.kill()
        self._postgres.start()

    def _cut_connections(self) -> None:
        assert self._postgres is not None
        self._postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'agent-manager' AND random() < 0.5"
        )


class Soak:
    """Everything together, on one database."""

    def __init__(self, name: str, seed: int, stack: ExitStack) -> None:
        self._name = name
        self._chance = random.Random(f"{seed} {name}")
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="am-soak-")))
        self._valkey = stack.enter_context(Valkey())
        self._postgres = stack.enter_context(Postgres()) if name == "postgres" else None
        self._url = self._database()
        self._system = BreakableSystem(self._url, self._valkey.url, self._folder)
        stack.callback(self._system.stop)
        self._outside = Outside(self._folder / "outside.jsonl")
        self._orders = Orders(self._system)
        self._platform = Platform(self._system)
        self._client = Client(self._orders, self._agents(), self._chance)
        self._saboteur = Saboteur(
            self._system, self._platform, self._valkey, self._postgres, self._chance
        )

    def run(self, minutes: float) -> None:
        """Soak for so long, then check. Fails as a test does."""
        self._platform.start()
        until = time.monotonic() + minutes * 60
        order_at = fault_at = 0.0
        look_at = time.monotonic() + LOOK_EVERY
        before: Snapshot | None = None
        while (now := time.monotonic()) < until:
            if now >= order_at:
                order_at = now + self._chance.expovariate(1 / ORDER_EVERY)
                self._client.ask()
            if now >= fault_at:
                fault_at = now + self._chance.expovariate(1 / FAULT_EVERY)
                self._saboteur.strike()
            if now >= look_at:
                look_at = now + LOOK_EVERY
                before = self._look(before, left=until - now)
            self._saboteur.mend()
            self._platform.tend()
            time.sleep(0.02)
        self._saboteur.mend(all_of_it=True)
        self._settle(before)

    def _look(self, before: Snapshot | None, *, left: float) -> Snapshot | None:
        """Check what can be checked on the way, and say how it goes."""
        try:
            seen = self._system.snapshot()
        except AWAY:
            return before
        self._orders.find_unanswered(seen)
        earlier = [] if before is None else [before]
        lines = record.lines(self._outside.path)
        check(
            seen,
            lines,
            self._orders.list,
            settled=False,
            accepted=[*self._orders.runs, *self._orders.batches],
            earlier=earlier,
        )
        statuses = Counter(run["status"] for run in seen.runs.values())
        counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        faults = sum(self._saboteur.struck.values())
        self._say(f"{left / 60:.0f} min to go; {faults} faults; {len(lines)} lines; {counts}")
        return seen

    def _settle(self, before: Snapshot | None) -> None:
        self._say("The faults are over; ending all schedules, and waiting until all is quiet.")
        wait_until(self._schedules_are_over, "the schedules to end", timeout=_SETTLED_WITHIN)

        def quiet() -> Snapshot | None:
            self._platform.tend()
            try:
                seen = self._system.snapshot()
            except AWAY:
                return None
            self._resume_batches(seen)
            return seen if seen.is_quiet() else None

        seen = wait_until(quiet, "all to be quiet", timeout=_SETTLED_WITHIN)
        self._orders.find_unanswered(seen)
        lines = record.lines(self._outside.path)
        earlier = [] if before is None else [before]
        accepted = [*self._orders.runs, *self._orders.batches]
        check(seen, lines, self._orders.list, accepted=accepted, earlier=earlier)
        asked = ", ".join(f"{count} {what}" for what, count in self._client.asked.most_common())
        struck = ", ".join(f"{count} {what}" for what, count in self._saboteur.struck.most_common())
        self._say(f"Asked: {asked}. Struck: {struck}.")
        runs, batches = len(seen.runs), len(seen.batches)
        self._say(
            f"{runs} runs, {batches} batches, {len(lines)} lines outside: every promise was kept."
        )

    def _resume_batches(self, seen: Snapshot) -> None:
        """Resume what somebody paused, or nobody answered having paused."""
        for batch in seen.batches.values():
            if batch["status"] == "PAUSED":
                with suppress(OSError, Refused):
                    self._orders.move(str(UUID(batch["id"])), "resume")

    def _schedules_are_over(self) -> bool:
        self._platform.tend()
        for schedule_id in list(self._orders.known):
            try:
                self._orders.delete(schedule_id, by_api=True)
            except OSError:
                return False
            except Refused:
                # It was deleted by an order that was never answered.
                self._orders.known.remove(schedule_id)
        return True

    def logs(self) -> str:
        """The end of what the processes have said."""
        return self._system.logs()[-20_000:]

    def _say(self, what: str) -> None:
        print(f"{self._name}: {what}", flush=True)

    def _database(self) -> str:
        if self._postgres is None:
            url = f"sqlite:///{self._folder}/soak.db"
        else:
            self._postgres.execute("CREATE DATABASE soak")
            url = self._postgres.url("soak")
        migrate(db.connect(url))
        return url

    def _agents(self) -> list[str]:
        agent = self._outside.agent
        made = [
            agent(),
            agent(seconds=0.5),
            agent(seconds=3),
            agent(seconds=0.3, max_concurrency=1),
            agent(seconds=0.5, max_concurrency=3),
            agent(fails=1),
            agent(fails=9, seconds=0.1),
            agent(kills=1),
            agent(seconds=5, timeout_seconds=1),
            agent(seconds=2, ignoresStop=True, timeout_seconds=1),
        ]
        # The processes are to have the file to themselves, and connections that are cut.
        db.proxy.close()
        return made


@contextmanager
def _shown(soak: Soak) -> Iterator[None]:
    try:
        yield
    except pytest.fail.Exception as failure:
        print(soak.logs())
        sys.exit(f"{failure}")


def _both(arguments: argparse.Namespace) -> int:
    """Soak both databases at the same time, each in a process of its own."""
    command = [sys.executable, __file__, "--minutes", str(arguments.minutes)]
    command += ["--seed", str(arguments.seed), "--database"]
    soaking = [subprocess.Popen([*command, name]) for name in ("sqlite", "postgres")]
    try:
        return max(each.wait() for each in soaking)
    finally:
        for each in soaking:
            each.terminate()


def main() -> None:
    """Soak what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None, help="[default: any]")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    arguments = parser.parse_args()
    # So that nothing of it runs on when it is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    if arguments.seed is None:
        arguments.seed = random.randrange(10**6)
    if arguments.database == "both":
        print(f"Soaking for {arguments.minutes:g} minutes, seed {arguments.seed}.", flush=True)
        sys.exit(_both(arguments))
    with ExitStack() as stack:
        soak = Soak(arguments.database, arguments.seed, stack)
        with _shown(soak):
            soak.run(arguments.minutes)


if __name__ == "__main__":
    main()
