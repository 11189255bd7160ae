"""A worker process: its Dramatiq worker, its heartbeat, and the end of both."""

import logging
import threading
from datetime import timedelta

import dramatiq
from dramatiq import Worker
from dramatiq.common import iter_queue

from shared import agents, clock, db, kinds, messages, processes, tally
from shared.log import Trouble
from shared.process import StopFlag
from shared.processes import Alive
from shared.settings import Settings
from shared.tally import Count
from worker import actors, hardware
from worker.agents.stop import StopReason
from worker.broker import WaitingBroker
from worker.heartbeat import Heartbeat
from worker.runner import Runner
from worker.spot_notice import SpotNotice

logger = logging.getLogger(__name__)

# How often the process looks at its threads, and at leases while the heartbeat waits.
_WATCH_SECONDS = 0.2
_IDLE_SECONDS = 3600.0
# How long stopped agents have to end, and their runs to be put back.
_LAST_WORDS = timedelta(seconds=4)


class WorkerProcess:
    """Consumes runs until it is told to stop; any number of such processes may run."""

    def __init__(self, settings: Settings, queue: str = messages.RUNS_QUEUE) -> None:
        self.id = processes.new_id()
        self._settings = settings
        self._queue = queue
        self._notice = SpotNotice(settings.spot_notice, settings.spot_notice_interval)
        self._heartbeat = Heartbeat(
            self.id,
            lease=settings.run_lease,
            interval=settings.heartbeat_interval,
            alive=self._of_use,
        )
        self._runner = Runner(self.id, settings, self._heartbeat, queue)
        self._broker = WaitingBroker(settings.redis_url, self._runner)
        dramatiq.set_broker(self._broker)
        actors.declare(self._broker, queue, self._runner.execute)
        self._worker = Worker(
            self._broker, worker_threads=settings.worker_threads, worker_timeout=200
        )

    def run(self, stop: StopFlag) -> int:
        """Work until *stop* is raised, then drain; the process's exit status."""
        kinds.installed()
        self._notice.start()
        if self._notice.is_given():
            return self._await_the_end(stop)
        if not self._register(stop):
            return 0
        self._preload()
        self._runner.start()
        self._worker.start()
        self._heartbeat.start()
        threads = self._settings.worker_threads
        logger.info("worker %s started: %d threads for queue %s", self.id, threads, self._queue)
        healthy = True
        while healthy and not self._notice.is_given() and not stop.wait(_WATCH_SECONDS):
            self._heartbeat.stop_overdue()
            healthy = self._is_healthy()
        if not healthy:
            logger.critical("worker %s has lost a thread that it needs; ending", self.id)
        self._drain(stop)
        self._notice.close()
        if not healthy:
            return 1
        return self._await_the_end(stop) if self._notice.is_given() else 0

    def _await_the_end(self, stop: StopFlag) -> int:
        """Do nothing more: whoever restarts what ends would have it work on a doomed machine."""
        logger.info("worker %s waits for the end of its machine", self.id)
        while not stop.is_set():
            stop.wait(_IDLE_SECONDS)
        return 0

    def _register(self, stop: StopFlag) -> bool:
        trouble = Trouble(logger, "enter itself into the database")
        while not stop.is_set():
            try:
                self._heartbeat.clock.look()
                now = self._heartbeat.clock.now()
                processes.worker_started(
                    self.id,
                    threads=self._settings.worker_threads,
                    queues=[self._queue],
                    compute_id=self._settings.compute or None,
                    hardware=hardware.describe(self._settings),
                    until=now + self._settings.run_lease,
                    now=now,
                )
            except db.UNREACHABLE as error:
                tally.add(Count.DATABASE_RETRIES)
                trouble.begins(error)
                stop.wait(1.0)
            else:
                trouble.ends()
                return True
        return False

    def _preload(self) -> None:
        """Have the kinds that are in use import what takes seconds, before a run waits for it."""
        try:
            with db.connection():
                in_use = agents.kinds_in_use()
        except db.UNREACHABLE as error:
            logger.warning("nothing is preloaded: %s", error)
            return
        for name in in_use:
            try:
                kinds.preload(name)
            except Exception:
                # Whatever it is: it concerns the runs of that kind alone, and those will say so.
                logger.exception("kind %s could not be preloaded", name)

    def _is_healthy(self) -> bool:
        began_with = Alive(threads=self._settings.worker_threads, consumers=1)
        beside_them = self._heartbeat.is_alive() and self._runner.is_alive()
        has_threads = self._heartbeat.deaf() < self._settings.worker_threads
        return beside_them and has_threads and self._alive() == began_with

    def _alive(self) -> Alive:
        return Alive(
            threads=sum(each.is_alive() for each in self._worker.workers),
            consumers=sum(each.is_alive() for each in self._worker.consumers.values()),
        )

    def _of_use(self) -> Alive:
        alive = self._alive()
        return Alive(
            threads=alive.threads - self._heartbeat.deaf(),
            # One that cannot reach Redis comes to nothing, and ends as little as Redis does.
            consumers=0 if self._broker.trouble.lasts else alive.consumers,
        )

    def _drain(self, stop: StopFlag) -> None:
        """Finish what is held within the grace period, then stop the rest and put it back."""
        grace = self._settings.shutdown_grace
        logger.info("worker %s drains for up to %.0f s", self.id, grace.total_seconds())
        self._runner.drain()
        self._broker.drain()
        ending = threading.Thread(target=self._end, name="drain", daemon=True)
        ending.start()
        self._await(ending, grace, stop, until_signals=2)
        self._heartbeat.stop_all(StopReason.DRAINED)
        self._await(ending, _LAST_WORDS, stop, until_signals=3)
        self._heartbeat.close()
        try:
            tally.save(self.id, now=clock.now())
            processes.worker_stopped(self.id, now=clock.now())
        except db.UNREACHABLE as error:
            logger.error("worker %s could not note its end: %s", self.id, error)
        logger.info("worker %s stopped", self.id)

    def _end(self) -> None:
        # It is we who end the wait: Dramatiq counts its timeout down once for each thread.
        self._worker.stop(timeout=2**31)
        self._runner.close()

    def _put_back_what_waits(self) -> None:
        """Put back the runs that no thread has begun with, for other workers to take."""
        for item in iter_queue(self._worker.work_queue):
            self._worker.consumers[item.message.queue_name].requeue_messages([item.message])

    def _await(
        self, thread: threading.Thread, most: timedelta, stop: StopFlag, *, until_signals: int
    ) -> None:
        deadline = clock.monotonic() + most.total_seconds()
        while thread.is_alive() and stop.signals < until_signals and clock.monotonic() < deadline:
            self._put_back_what_waits()
            self._heartbeat.stop_overdue()
            thread.join(0.05)
