"""What is made of the vitals."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from factories import LEASE, MINUTE, NOON

from shared import diagnosis
from shared.findings import FAIL, OK, WARN, Finding, in_words
from shared.processes import Alive, LiveWorker
from shared.tally import Count
from shared.vitals import RUNS_COUNTED, Load, Pulse

SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
WHOLE = Alive(threads=8, consumers=1)


def pulse(**values: Any) -> Pulse:
    """That of a system at noon that is well, but for *values*."""
    sound: dict[str, Any] = {
        "now": NOON,
        "last_tick_at": NOON - SECOND,
        "tick_duration": 7 * MILLISECOND,
        "tick_lag": timedelta(),
        "next_run_at": NOON + MINUTE,
        "waiting_since": None,
        "lease_until": None,
        "workers": [worker()],
        "counts": dict.fromkeys(Count, 0),
    }
    return Pulse(**sound | values)


def worker(id: str = "w", alive: Alive = WHOLE) -> LiveWorker:
    return LiveWorker(id, WHOLE, alive)


def load(**values: Any) -> Load:
    few = {"schedules_enabled": 1, "schedules_set_aside": 0, "queued": 2, "running": 1}
    return Load(**few | values)


def ticking(**values: Any) -> Finding:
    return diagnosis.ticking(pulse(**values))


def punctual(next_run_at: datetime | None) -> Finding:
    return diagnosis.punctual(pulse(next_run_at=next_run_at))


def flowing(waiting_since: datetime | None) -> Finding:
    return diagnosis.flowing(pulse(waiting_since=waiting_since))


def manned(*workers: LiveWorker) -> Finding:
    return diagnosis.manned(pulse(workers=workers))


def reaped(lease_until: datetime | None) -> Finding:
    return diagnosis.reaped(pulse(lease_until=lease_until), lease=LEASE)


@pytest.mark.parametrize(
    ("finding", "status", "says"),
    [
        (ticking(last_tick_at=None), FAIL, "No scheduler has ever ticked."),
        (ticking(last_tick_at=NOON - MINUTE), OK, "The last tick was 60 s ago."),
        (ticking(last_tick_at=NOON - 3 * MINUTE), FAIL, "The last tick was 3 min ago."),
        (ticking(last_tick_at=NOON + SECOND), OK, "The last tick was 0 s ago."),
        (ticking(), OK, "1 s ago. Ticks take up to 0.007 s."),
        (ticking(tick_lag=SECOND), OK, "They record what is due up to 1 s late."),
        (ticking(tick_lag=2 * MINUTE), WARN, "They record what is due up to 2 min late."),
        (punctual(None), OK, "No schedule is overdue."),
        (punctual(NOON + SECOND), OK, "No schedule is overdue."),
        (punctual(NOON - SECOND), OK, "has waited 1 s for a tick"),
        (punctual(NOON - 3 * MINUTE), FAIL, "has waited 3 min"),
        (flowing(None), OK, "No run waits."),
        (flowing(NOON + SECOND), OK, "No run waits."),
        (flowing(NOON - SECOND), OK, "could have started 1 s ago."),
        (flowing(NOON - 2 * MINUTE), WARN, "could have started 2 min ago."),
        (manned(), FAIL, "No worker is alive."),
        (manned(worker()), OK, "1 worker with 8 threads, all alive."),
        (manned(worker(), worker("x")), OK, "2 workers with 16 threads, all alive."),
        (manned(worker(), worker("x", Alive(3, 1))), WARN, "Of 2 workers, 1 lack threads"),
        (manned(worker(), worker("x", Alive(8, 0))), WARN, "Of 2 workers, 1 lack threads"),
        (manned(worker(alive=Alive(8, 0))), FAIL, "Of 1 worker, 1 lack threads"),
        (reaped(None), OK, "No run is held beyond its time."),
        (reaped(NOON - LEASE - MINUTE), OK, "No run is held beyond its time."),
        (reaped(NOON - LEASE - 2 * MINUTE), FAIL, "ran out 2 min ago."),
        (diagnosis.sound(load()), OK, "1 schedule enabled, none set aside."),
        (diagnosis.sound(load(schedules_set_aside=2)), WARN, "2 schedules set aside by a tick."),
        (diagnosis.busy(load()), OK, "2 runs queued, 1 running."),
        (diagnosis.busy(load(queued=RUNS_COUNTED)), OK, "at least 10000 runs queued"),
    ],
)
def test_the_vitals_are_judged(finding: Finding, status: str, says: str) -> None:
    assert (finding.status, says in finding.says) == (status, True), finding
    assert bool(finding.cure) == (status is not OK)


def test_a_worker_that_lacks_threads_is_named_in_the_cause_only() -> None:
    finding = manned(worker("host:7:ab", Alive(threads=3, consumers=0)))

    assert finding.cause == "worker host:7:ab has 3 of 8 threads and 0 of 1 consumer at work"
    assert "host" not in finding.says


def test_all_that_was_ever_counted_is_told() -> None:
    counts = dict.fromkeys(Count, 0) | {Count.RESENDS: 3}

    says = diagnosis.counted(pulse(counts=counts)).says

    assert "3 resends" in says
    assert all(f" {each.replace('_', ' ')}" in says for each in Count)


def test_what_should_not_happen_and_did_lately_is_a_warning_each() -> None:
    counts = dict.fromkeys(Count, 0) | {Count.LOST_LEASES: 3, Count.CLOCK_STEPS: 1}
    latest = {Count.LOST_LEASES: NOON - 5 * MINUTE, Count.CLOCK_STEPS: NOON - 60 * MINUTE}

    findings = list(diagnosis.recently(pulse(counts=counts), latest))

    assert [(each.name, each.status) for each in findings] == [
        ("lost leases", WARN),
        ("clock steps", WARN),
    ]
    assert findings[0].says == "3 in all, the last 5 min ago."
    assert all(each.cure for each in findings)


@pytest.mark.parametrize(
    "latest",
    [
        {},
        {Count.LOST_LEASES: NOON - 61 * MINUTE},
        {Count.RESENDS: NOON, Count.DUPLICATE_DELIVERIES: NOON},
    ],
    ids=["nothing", "long ago", "harmless"],
)
def test_what_was_long_ago_or_is_harmless_is_no_warning(latest: dict[Count, datetime]) -> None:
    (finding,) = diagnosis.recently(pulse(), latest)

    assert (finding.name, finding.status) == ("lately", OK)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(milliseconds=12.34), "0.0123 s"),
        (119 * SECOND, "119 s"),
        (120 * SECOND, "2 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=49), "2 days"),
        (-SECOND, "0 s"),
    ],
)
def test_a_span_is_told_in_its_largest_whole_unit(span: timedelta, words: str) -> None:
    assert in_words(span) == words
