"""What becomes of fire times."""

from datetime import timedelta

import pytest
from factories import MINUTE, NOON

from shared import policy
from shared.policy import Occurrence
from shared.states import MISSED, QUEUED, SKIPPED, CatchUp, ErrorCode, Overlap

HOUR = timedelta(hours=1)
PASSED = [NOON - 3 * MINUTE, NOON - 2 * MINUTE, NOON - MINUTE, NOON]


def decide(passed, deserving, *, overlap=Overlap.SKIP, active=False, agent_enabled=True):
    return policy.decide(
        passed, deserving, overlap=overlap, active=active, agent_enabled=agent_enabled
    )


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_fire_time_noticed_within_the_minute_runs_whatever_the_policy(catch_up):
    fire_time = NOON - timedelta(seconds=59)

    assert policy.to_run([fire_time], catch_up, window=timedelta(0), now=NOON) == [fire_time]


def test_latest_runs_the_newest_only():
    assert policy.to_run(PASSED, CatchUp.LATEST, window=HOUR, now=NOON) == [NOON]


def test_latest_runs_nothing_that_is_older_than_the_window():
    assert policy.to_run(PASSED, CatchUp.LATEST, window=HOUR, now=NOON + 2 * HOUR) == []


def test_none_runs_only_what_is_on_time():
    assert policy.to_run(PASSED, CatchUp.NONE, window=HOUR, now=NOON) == [NOON - MINUTE, NOON]
    assert policy.to_run(PASSED, CatchUp.NONE, window=HOUR, now=NOON + HOUR) == []


def test_what_does_not_run_is_one_gap():
    gap, run = decide(PASSED, [NOON])

    assert gap.status is MISSED
    assert (gap.scheduled_for, gap.missed_until) == (PASSED[0], PASSED[2])
    assert gap.missed_count == 3
    assert gap.error[0] is ErrorCode.MISFIRE
    assert run == Occurrence(QUEUED, NOON)


def test_skip_skips_while_a_run_is_active():
    (skipped,) = decide([NOON], [NOON], active=True)

    assert skipped.status is SKIPPED
    assert skipped.error[0] is ErrorCode.OVERLAP


def test_skip_skips_what_overlaps_within_one_tick():
    first, second = decide(PASSED[2:], PASSED[2:])

    assert (first.status, second.status) == (QUEUED, SKIPPED)


def test_allow_runs_beside_an_active_run():
    assert decide([NOON], [NOON], active=True, overlap=Overlap.ALLOW)[0].status is QUEUED


def test_a_disabled_agent_is_skipped():
    (skipped,) = decide([NOON], [NOON], agent_enabled=False)

    assert skipped.status is SKIPPED
    assert skipped.error[0] is ErrorCode.AGENT_DISABLED


def test_jitter_is_the_same_for_whoever_asks_and_stays_in_bounds():
    most = timedelta(seconds=30)
    delays = {policy.jitter(f"{n:032x}", NOON, most) for n in range(100)}

    assert policy.jitter("a" * 32, NOON, most) == policy.jitter("a" * 32, NOON, most)
    assert all(timedelta(0) <= delay < most for delay in delays)
    assert len(delays) == 100
    assert policy.jitter("a" * 32, NOON, timedelta(0)) == timedelta(0)


def test_backoff_doubles_up_to_a_day():
    first = timedelta(seconds=30)

    assert [policy.backoff(first, n) for n in (1, 2, 3)] == [first, 2 * first, 4 * first]
    assert policy.backoff(first, 1000) == timedelta(days=1)
