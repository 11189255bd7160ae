"""What came of attempts, written down: by one thread, for all of them, all at once."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from shared import (
    checks,
    clock,
    conversations,
    db,
    failpoints,
    leases,
    reference,
    runs,
    surroundings,
    tally,
)
from shared.attempts import Lease, Outcome
from shared.findings import OK
from shared.log import Trouble
from shared.states import CANCELLED, FAILED, Trigger
from shared.tally import Count
from worker.agents.stop import StopReason
from worker.attempt import Paused, Retryable, Verdict
from worker.heartbeat import Work

logger = logging.getLogger(__name__)

T = TypeVar("T")

# At first what failed may only have collided with something.
_TRY_AGAIN_SECONDS, _AT_LAST_SECONDS = 0.05, 1.0
# What fails for so long while others are answered, fails for a reason of its own.
_GIVE_UP_AFTER_SECONDS = 60.0
# So long a service can have an attempt be put off.
_LONGEST_AFTER = timedelta(hours=1)
# Each can be as long as the limit of an output, and memory holds them several times.
_MOST_AT_ONCE = 20


class Ended(NamedTuple):
    """An attempt that is over."""

    work: Work
    verdict: Verdict


class Recorder:
    """Writes down what has ended, and then has it let go."""

    def __init__(self, let_go: Callable[[list[Work]], None]) -> None:
        self._let_go = let_go
        # None: there is nothing more to come.
        self._queue: SimpleQueue[Ended | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._trouble = Trouble(logger, "record what came of a run")
        # Something that was not answered may have been written all the same.
        self._in_doubt = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, once all is written, and wait for it."""
        self._queue.put(None)
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the thread is there to do its work."""
        return self._thread.is_alive()

    def record(self, work: Work, verdict: Verdict) -> None:
        """Have *verdict* written down soon."""
        self._queue.put(Ended(work, verdict))

    def _run(self) -> None:
        more = True
        while more:
            ended, more = self._gather()
            try:
                self._write(ended)
            except Exception:
                # Whatever it is: without this thread nothing of this process would be recorded.
                logger.exception("%d runs are left to the reaper", len(ended))
            self._let_go([each.work for each in ended])

    def _gather(self) -> tuple[list[Ended], bool]:
        """What has ended, once there is something; and whether more may come."""
        ended: list[Ended] = []
        while not ended or (len(ended) < _MOST_AT_ONCE and not self._queue.empty()):
            each = self._queue.get()
            if each is None:
                return ended, False
            ended.append(each)
        return ended, True

    def _write(self, ended: list[Ended]) -> None:
        self._in_doubt = False
        outcomes: dict[Lease, Outcome] = {}
        for work, verdict in ended:
            became = self._queued_again(work, verdict)
            if isinstance(became, Outcome):
                outcomes[work.lease] = became
            else:
                _say(work.lease, became)
        works = {work.lease: work for work, _ in ended}
        for lease, words in self._finished(outcomes, works).items():
            _say(lease, words)

    def _queued_again(self, work: Work, verdict: Verdict) -> Outcome | str | None:
        """See `queue_again`; before that, what the agent has reported is written."""
        try:
            self._insist(work.reporter.write)
            return self._insist(partial(queue_again, work, verdict))
        except Exception:
            # Whatever it is: it concerns this run alone.
            return _left_to_the_reaper(work.lease)

    def _finished(
        self, outcomes: Mapping[Lease, Outcome], works: Mapping[Lease, Work]
    ) -> dict[Lease, str | None]:
        """What became of each run; an outcome that cannot be written costs no other its own."""
        if not outcomes:
            return {}
        try:
            held = self._insist(partial(_finish, outcomes, works))
        except Exception:
            # Whatever it is: one of them may be all that it is about.
            if len(outcomes) == 1:
                return {lease: _left_to_the_reaper(lease) for lease in outcomes}
            alone = (self._finished({lease: outcomes[lease]}, works) for lease in outcomes)
            return {lease: words for each in alone for lease, words in each.items()}
        return {
            lease: _in_words(outcome) if lease in held else self._not_held(lease)
            for lease, outcome in outcomes.items()
        }

    def _not_held(self, lease: Lease) -> str | None:
        if self._in_doubt and not self._insist(partial(_is_lost, lease)):
            return "recorded, though the answer to that was lost"
        return None

    def _insist(self, write: Callable[[], T]) -> T:
        """Do *write*, however long the database takes to be there.

        Raises what that raises, should the database be there all along.
        """
        pause = _TRY_AGAIN_SECONDS
        give_up_at = clock.monotonic() + _GIVE_UP_AFTER_SECONDS
        while True:
            try:
                done = write()
            except db.UNREACHABLE as error:
                if clock.monotonic() >= give_up_at and surroundings.database().status is OK:
                    raise
                # Should a lease run out meanwhile, the fence keeps this from being written.
                self._in_doubt = True
                self._trouble.begins(error)
                tally.add(Count.DATABASE_RETRIES)
                time.sleep(pause)
                pause = min(pause * 2, _AT_LAST_SECONDS)
            else:
                self._trouble.ends()
                return done


def queue_again(work: Work, verdict: Verdict) -> Outcome | str | None:
    """Queue the run again if *verdict* asks for it, and say when; else the outcome to end it with.

    None: it is not ours.
    """
    used, model = work.reporter.used(), work.reporter.model
    match verdict:
        case Outcome():
            return replace(verdict, usage=verdict.usage + used, model=verdict.model or model)
        case Retryable(error, after):
            # Schedulers go by this clock, and this host's may be hours ahead of it.
            now = reference.now(clock.now)
            at = runs.next_attempt_at(work.run, now=now)
            if at is None:
                return Outcome(status=FAILED, error=error, usage=used, model=model)
            at = max(at, now + min(after, _LONGEST_AFTER))
            if runs.retry_later(work.lease, error, at=at, now=now, usage=used, model=model):
                return f"queued again for {at}: {error['message']}"
        case Paused(asks):
            now, seconds = reference.now(clock.now), work.run.approval_wait_seconds
            wait = None if seconds is None else timedelta(seconds=seconds)
            if runs.pause(work.lease, asks, wait=wait, now=now, usage=used, model=model):
                return "paused: a person is asked"
        case StopReason.DRAINED:
            now = reference.now(clock.now)
            if runs.release(work.lease, now=now, usage=used, model=model):
                return "put back"
        case _:
            return None
    # It was cancelled meanwhile, or it is lost.
    return Outcome(status=CANCELLED, usage=used, model=model)


def _finish(outcomes: Mapping[Lease, Outcome], works: Mapping[Lease, Work]) -> set[Lease]:
    """End the runs; with them, what they have kept, what their sessions are to remember, and what
    agents were found to lack."""
    remembered = {lease: each.history for lease, each in outcomes.items() if each.history}
    checked = [lease for lease in outcomes if works[lease].run.trigger is Trigger.CHECK]
    if not remembered and not checked and not any(works[lease].keeps for lease in outcomes):
        with db.connection():
            return runs.finish(outcomes, now=clock.now())
    now = clock.now()
    with db.transaction():
        held = runs.finish(outcomes, now=now)
        conversations.forget(lease.run_id for lease in held)
        # In one order, or two workers could wait for each other's sessions for ever.
        for lease in sorted(held & remembered.keys(), key=lambda each: works[each].run.session_id):
            work, history = works[lease], remembered[lease]
            recalled = bool(work.memory.history)
            conversations.remember(work.run, history, recalled=recalled, now=now)
    # By themselves: whoever makes runs locks agents first, and what budgets come to after them.
    for lease in held.intersection(checked):
        with db.transaction():
            checks.record(lease.run_id, outcomes[lease], now=now)
    return held


def _is_lost(lease: Lease) -> bool:
    with db.connection():
        return leases.is_lost(lease)


def _left_to_the_reaper(lease: Lease) -> str:
    logger.exception("run %s could not be recorded", lease.run_id)
    return "left to the reaper"


def _say(lease: Lease, became: str | None) -> None:
    failpoints.reach("worker.after_finish")
    if became is None:
        tally.add(Count.LATE_WRITES_REFUSED)
        logger.warning("run %s was no longer ours; what came of it is dropped", lease.run_id)
    else:
        logger.info("run %s %s", lease.run_id, became)


def _in_words(outcome: Outcome) -> str:
    if outcome.error is None:
        return outcome.status.value
    return f"{outcome.status}, {outcome.error['code']}: {outcome.error['message']}"
