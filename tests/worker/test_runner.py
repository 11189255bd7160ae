"""One run, from claim to finish."""

import json
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, held, make_agent, make_run
from peewee import OperationalError
from scripts import SETTINGS, fails, until_stopped
from statements import counted
from waiting import wait_until

from shared import clock, events, failpoints, leases, new_runs, runs, tally
from shared.findings import OK, WARN, Finding
from shared.models import Agent, Run, RunEvent
from shared.states import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING, CheckStatus
from shared.tally import Count
from worker import recorder
from worker.agents.echo import EchoAgent
from worker.agents.protocol import AgentError, Result, Stopped
from worker.agents.stop import StopReason
from worker.reporter import Reporter
from worker.runner import Runner

pytestmark = pytest.mark.usefixtures("database")


def test_what_the_agent_answered_and_used_is_recorded(execute, agent):
    run = make_run(message="Sum up")
    agent.does = lambda message, context: Result(
        content=f"re: {message}", model="m-1", input_tokens=3, output_tokens=4
    )

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.content) == (COMPLETED, "re: Sum up")
    assert (after.model, after.input_tokens, after.output_tokens) == ("m-1", 3, 4)
    assert after.started_at <= after.finished_at


def test_a_second_delivery_does_nothing(execute, agent):
    run = make_run()
    execute(run.id)
    agent.does = fails(AssertionError("ran twice"))

    execute(run.id)

    assert runs.get(run.id).attempt == 1


def test_the_agent_learns_who_and_when_it_is(execute, agent):
    run = make_run(scheduled_for=NOON)
    seen = []
    agent.does = lambda message, context: seen.append(context) or Result(content="")

    execute(run.id)

    (context,) = seen
    assert (context.run_id, context.agent_id, context.attempt) == (run.id, "echo", 1)
    assert context.scheduled_for == NOON
    assert context.output_limit == SETTINGS.output_limit


def test_an_agent_s_failure_fails_its_run_and_says_why(execute, agent):
    run = make_run()
    agent.does = fails(AgentError("Out of ideas."))

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.attempt) == (FAILED, 1)
    assert after.error == {"code": "AGENT_ERROR", "message": "Out of ideas."}


def test_an_agent_whose_configuration_names_an_amount_runs(execute):
    run = make_run(config={"costUsd": 0.25})

    execute(run.id)

    assert runs.get(run.id).cost_usd == Decimal("0.25")


def test_a_failure_that_may_be_retried_is_queued_again(execute, agent):
    run = make_run(retry_backoff_seconds=30)
    agent.does = fails(AgentError("Try later.", retryable=True))

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.error["message"]) == (QUEUED, "Try later.")
    assert after.available_at > clock.now() + timedelta(seconds=20)


def test_a_failure_is_not_retried_when_the_attempts_are_spent(execute, agent):
    run = make_run(max_attempts=1)
    agent.does = fails(AgentError("Try later.", retryable=True))

    execute(run.id)

    assert runs.get(run.id).status is FAILED


def test_whatever_an_agent_raises_fails_its_run_only(execute, agent, caplog):
    run = make_run()
    agent.does = fails(ZeroDivisionError("by zero"))

    execute(run.id)

    assert runs.get(run.id).error["message"] == "ZeroDivisionError: by zero"


def test_a_kind_that_is_not_installed_is_rejected(execute):
    run = make_run(kind="quantum")

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.error["code"]) == (FAILED, "REJECTED")
    assert "quantum" in after.error["message"]


def test_a_configuration_that_is_not_valid_is_rejected(execute):
    run = make_run(config={"delaySeconds": "long"})

    execute(run.id)

    assert runs.get(run.id).error["code"] == "REJECTED"


def test_secrets_and_what_cannot_be_stored_are_taken_out_of_what_is_recorded(execute, agent):
    answered, failed = make_run(), make_run()
    agent.does = lambda message, context: Result(
        content="it is hunter2-hunter2\x00\ud800", model="hunter2-hunter2-mini"
    )
    execute(answered.id)
    agent.does = fails(AgentError("hunter2-hunter2 is wrong"))
    execute(failed.id)

    assert runs.get(answered.id).content == "it is ***\ufffd\ufffd"
    assert runs.get(answered.id).model == "***-mini"
    assert runs.get(failed.id).error["message"] == "*** is wrong"


def test_an_answer_is_cut_at_the_limit_and_says_so(execute, agent):
    run = make_run()
    agent.does = lambda message, context: Result(content="x" * 5000)

    execute(run.id)

    content = runs.get(run.id).content
    assert len(content) < 1200
    assert "bytes cut" in content


def test_what_the_agent_reports_is_kept_in_order(execute, agent):
    run = make_run()

    def does(message, context):
        for number in range(3):
            context.report("log", {"text": f"line {number}"})
        return Result(content="")

    agent.does = does
    execute(run.id)

    events = RunEvent.select().where(RunEvent.run == run.id).order_by(RunEvent.seq)
    assert [(event.seq, event.data["text"]) for event in events] == [
        (1, "line 0"),
        (2, "line 1"),
        (3, "line 2"),
    ]


def test_a_flood_of_reports_is_bounded(execute, agent):
    run = make_run()

    def does(message, context):
        for _ in range(5000):
            context.report("log", {"text": "again"})
        return Result(content="")

    agent.does = does
    execute(run.id)

    events = list(RunEvent.select().where(RunEvent.run == run.id).order_by(RunEvent.seq))
    assert len(events) == 1000
    assert events[-1].type == "events_dropped"


def test_an_agent_is_stopped_at_its_deadline(execute, agent):
    run = make_run(timeout_seconds=1)
    agent.does = until_stopped

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.error["code"]) == (FAILED, "TIMEOUT")
    assert "1 seconds" in after.error["message"]


def test_cancelling_stops_the_agent(execute, agent, in_thread):
    run = make_run()
    agent.does = until_stopped
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)

    runs.cancel(run.id, now=clock.now())

    wait_until(lambda: runs.get(run.id).status is CANCELLED, timeout=3)


def test_an_agent_that_finishes_in_spite_of_a_cancel_has_finished(execute, agent, in_thread):
    run = make_run()

    def does(message, context):
        context.stop.wait(10)
        return Result(content="done all the same")

    agent.does = does
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)
    runs.cancel(run.id, now=clock.now())

    wait_until(lambda: runs.get(run.id).status is COMPLETED)


def test_a_lease_is_renewed_while_the_agent_works(execute, agent, in_thread):
    run = make_run()
    proceed = threading.Event()
    agent.does = lambda message, context: proceed.wait(10) and Result(content="")
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)
    first = runs.get(run.id).lease_until

    wait_until(lambda: runs.get(run.id).lease_until > first)

    proceed.set()
    wait_until(lambda: runs.get(run.id).status is COMPLETED)


def test_an_agent_whose_run_was_taken_over_is_stopped_and_its_result_dropped(
    execute, agent, in_thread
):
    run = make_run()
    stopped = threading.Event()

    def does(message, context):
        context.stop.wait(10)
        stopped.set()
        return Result(content="too late")

    agent.does = does
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)
    wait_until(lambda: leases.reap(leases.held(), now=clock.now()))

    wait_until(stopped.is_set)
    after = runs.get(run.id)
    assert (after.status, after.content) == (QUEUED, None)


def test_an_agent_stops_before_a_lease_ends_that_cannot_be_renewed(
    execute, agent, in_thread, monkeypatch
):
    run = make_run()
    stopped_at = []

    def does(message, context):
        context.stop.wait(10)
        stopped_at.append(clock.now())
        raise Stopped

    agent.does = does
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)

    def unreachable(*_, **__):
        raise OperationalError("gone")

    monkeypatch.setattr(leases, "renew", unreachable)
    monkeypatch.setattr(leases, "held_by", unreachable)

    wait_until(lambda: stopped_at, timeout=10)
    assert stopped_at[0] < runs.get(run.id).lease_until


def test_a_result_is_recorded_once_the_database_is_back(execute, agent, in_thread, monkeypatch):
    run = make_run()
    finish = runs.finish
    tried = threading.Event()

    def unreachable(*_, **__):
        tried.set()
        raise OperationalError("gone")

    monkeypatch.setattr(runs, "finish", unreachable)
    in_thread(execute, run.id)
    assert tried.wait(5)
    assert runs.get(run.id).status is RUNNING

    monkeypatch.setattr(runs, "finish", finish)

    wait_until(lambda: runs.get(run.id).status is COMPLETED)


def test_draining_puts_a_stopped_run_back_uncounted(runner, execute, agent, heartbeat, in_thread):
    run = make_run()
    agent.does = until_stopped
    in_thread(execute, run.id)
    wait_until(lambda: runs.get(run.id).status is RUNNING)

    runner.drain()
    heartbeat.stop_all(StopReason.DRAINED)

    wait_until(lambda: runs.get(run.id).status is QUEUED)
    after = runs.get(run.id)
    assert (after.attempt, after.uncounted) == (1, 1)


def test_a_draining_worker_claims_nothing_and_hands_back_what_reaches_it(runner, execute):
    run = make_run(dispatch_at=NOON + timedelta(hours=1))
    runner.drain()

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.dispatches) == (QUEUED, 0)
    assert after.dispatch_at < clock.now() + timedelta(seconds=1)


def test_nothing_is_claimed_while_the_database_is_away(execute, monkeypatch, caplog):
    def unreachable(*_, **__):
        raise OperationalError("gone")

    run = make_run()
    monkeypatch.setattr(runs, "claim", unreachable)

    execute(run.id)

    assert runs.get(run.id).status is QUEUED


def test_a_run_that_was_claimed_without_the_worker_s_knowing_is_reaped(
    execute, agent, heartbeat, in_thread
):
    working, unknown = make_run(), make_run()
    agent.does = until_stopped
    in_thread(execute, working.id)
    wait_until(lambda: runs.get(working.id).status is RUNNING)
    first = runs.get(working.id).lease_until

    runs.claim([unknown.id], "worker-1", lease=SETTINGS.run_lease, now=clock.now())
    wait_until(lambda: runs.get(working.id).lease_until > first)
    reaped = wait_until(reap, timeout=10)

    assert reaped == [(unknown.id, QUEUED)]
    assert runs.get(working.id).status is RUNNING


def reap():
    now = clock.now()
    return leases.reap([each for each in leases.held() if each.until < now], now=now)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_run_whose_agent_ignores_being_stopped_ends_and_is_not_tried_again(
    cancelled, runner, heartbeat, agent, in_thread
):
    run = make_run(timeout_seconds=600 if cancelled else 1)
    proceed = threading.Event()
    agent.does = lambda message, context: proceed.wait(20) and Result(content="at last")
    (taken,) = runner.take([run.id])
    in_thread(runner.execute, taken)

    if cancelled:
        runs.cancel(run.id, now=clock.now())

    after = wait_until(lambda: (now := runs.get(run.id)).status is not RUNNING and now, timeout=15)
    assert (after.status, after.attempt) == (CANCELLED if cancelled else FAILED, 1)
    assert (after.error or {}).get("code") == (None if cancelled else "TIMEOUT")
    assert (heartbeat.deaf(), runner.room(0)) == (1, SETTINGS.worker_threads - 1)
    proceed.set()
    wait_until(lambda: runner.room(0) == SETTINGS.worker_threads)
    assert heartbeat.deaf() == 0
    assert runs.get(run.id).content is None


@pytest.mark.parametrize(
    "result",
    [
        None,
        Result(content=42),
        Result(content="", metadata={"when": object()}),
        Result(content="", metadata={"cost": float("nan")}),
    ],
)
def test_a_result_that_is_none_fails_the_run(execute, agent, result):
    run = make_run()
    agent.does = lambda message, context: result

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.error["code"]) == (FAILED, "AGENT_ERROR")


def test_what_a_result_says_of_usage_is_taken_as_far_as_it_can_be_true(execute, agent):
    run = make_run()
    agent.does = lambda message, context: Result(
        content="",
        model="m\0" * 500,
        input_tokens=2**40,
        output_tokens=-1,
        cost_usd=Decimal("NaN"),
        metadata={"text": "a\0b\ud800"},
    )

    execute(run.id)

    after = runs.get(run.id)
    assert after.status is COMPLETED
    assert (after.input_tokens, after.output_tokens, after.cost_usd) == (None, None, None)
    assert "\0" not in after.model
    assert after.metadata == {"text": "a\ufffdb\ufffd"}


@pytest.mark.parametrize(
    ("cost", "recorded"),
    [
        ("0.0000014", "0.000001"),
        ("1E-99999", "0"),
        ("999999.9999999", "1000000"),
        ("1000000.1", None),
        ("Infinity", None),
        ("-1", None),
    ],
)
def test_a_cost_that_cannot_be_kept_does_not_cost_the_run_its_result(
    execute, agent, cost, recorded
):
    run = make_run()
    agent.does = lambda message, context: Result(content="done", cost_usd=Decimal(cost))

    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.content) == (COMPLETED, "done")
    assert after.cost_usd == (None if recorded is None else Decimal(recorded))


def test_what_fails_for_long_while_the_database_answers_is_left_to_the_reaper(
    execute, agent, monkeypatch, caplog
):
    run = make_run()
    monkeypatch.setattr(recorder, "_GIVE_UP_AFTER_SECONDS", 0)

    def refuse(outcomes, *, now):
        raise OperationalError("the row is too long")

    monkeypatch.setattr(runs, "finish", refuse)

    execute(run.id)

    assert runs.get(run.id).status is RUNNING
    assert (
        f"run {run.id} left to the reaper" in caplog.text or "could not be recorded" in caplog.text
    )


def test_events_that_could_not_be_written_are_written_later(execute, agent, monkeypatch):
    run = make_run()
    append = events.append
    failures = iter([OperationalError("gone")])

    def append_sometimes(*arguments, **options):
        for error in failures:
            raise error
        append(*arguments, **options)

    monkeypatch.setattr(events, "append", append_sometimes)
    agent.does = lambda message, context: (
        context.report("log", {"text": "a\0"}) or Result(content="")
    )

    execute(run.id)

    assert RunEvent.get(RunEvent.run == run.id).data == {"text": "a\ufffd"}


def test_an_event_that_cannot_be_written_costs_the_run_nothing(execute, agent, monkeypatch, caplog):
    run = make_run()

    def refuse(*_, **__):
        raise ValueError("refused")

    monkeypatch.setattr(events, "append", refuse)
    agent.does = lambda message, context: (
        context.report("log", {"text": "x"}) or Result(content="42")
    )

    execute(run.id)

    assert (runs.get(run.id).status, runs.get(run.id).content) == (COMPLETED, "42")
    assert "1 events dropped" in caplog.text


def test_an_event_says_when_it_happened_and_not_when_it_was_written(monkeypatch):
    run = make_run(leased_by="worker-1")
    reporter = Reporter(held(run))

    monkeypatch.setattr(clock, "now", lambda: NOON)
    reporter.report("log", {})
    monkeypatch.setattr(clock, "now", lambda: NOON + MINUTE)
    reporter.write()

    assert RunEvent.get(RunEvent.run == run.id).at == NOON


def test_nothing_more_is_written_of_a_run_that_has_ended():
    run = make_run(status=COMPLETED, attempt=1, finished_at=NOON)

    events.append(run.id, 1, [events.Event(NOON, "log", {"text": "late"})])

    assert not RunEvent.select().exists()


def test_why_a_run_failed_is_in_the_log(execute, agent, caplog):
    caplog.set_level("INFO")
    agent.does = fails(AgentError("Out of ideas."))

    execute(make_run().id)

    assert "FAILED, AGENT_ERROR: Out of ideas." in caplog.text


def test_as_many_are_taken_as_there_are_threads(runner, agent, in_thread):
    made = [make_run() for _ in range(SETTINGS.worker_threads)]
    proceed = threading.Event()
    agent.does = lambda message, context: proceed.wait(10) and Result(content="")
    room = runner.room(0)

    for run_id in runner.take([run.id for run in made]):
        in_thread(runner.execute, run_id)

    assert (room, runner.room(0)) == (SETTINGS.worker_threads, 0)
    proceed.set()
    wait_until(lambda: runner.room(10) == SETTINGS.worker_threads)


def test_while_nothing_can_be_recorded_no_more_is_taken_than_as_much_again(
    runner, agent, monkeypatch
):
    waits = threading.Event()
    finish = runs.finish
    monkeypatch.setattr(runs, "finish", lambda *of, **how: waits.wait(10) and finish(*of, **how))
    taken = []

    while room := runner.room(0):
        for run_id in runner.take([make_run().id for _ in range(room)]):
            taken.append(run_id)
            runner.execute(run_id)

    assert len(taken) == 2 * SETTINGS.worker_threads
    waits.set()
    wait_until(lambda: runner.room(10) == SETTINGS.worker_threads)


def test_a_run_that_was_lost_before_it_was_begun_with_and_comes_again_is_executed_once(
    runner, heartbeat, agent
):
    run = make_run()
    began = []
    agent.does = lambda message, context: began.append(context.attempt) or Result(content="")
    (lost,) = runner.take([run.id])
    Run.update(status=QUEUED, leased_by=None, lease_until=None).execute()
    (taken,) = runner.take([run.id])

    for run_id in (lost, taken):
        runner.execute(run_id)

    wait_until(lambda: not heartbeat.holding())
    assert began == [2]
    assert runner.room(0) == SETTINGS.worker_threads


def test_what_was_delivered_before_or_twice_is_not_taken_again_and_counted(runner):
    mine, other = make_run(), make_run(leased_by="worker-2")
    before = tally.total()[Count.DUPLICATE_DELIVERIES]

    assert runner.take([mine.id, other.id, mine.id]) == [mine.id]

    assert runner.room(0) == SETTINGS.worker_threads - 1
    tally.save("worker-1", now=NOON)
    assert tally.total()[Count.DUPLICATE_DELIVERIES] == before + 2


def test_a_run_that_was_taken_and_not_begun_with_is_put_back_uncounted(runner):
    run = make_run()
    runner.take([run.id])

    runner.put_back([run.id])

    wait_until(lambda: runs.get(run.id).status is QUEUED)
    assert runs.get(run.id).uncounted == 1


def test_what_is_left_is_recorded_before_the_end(heartbeat, agent):
    made = [make_run() for _ in range(3)]
    runner = Runner("worker-1", SETTINGS, heartbeat)
    for run_id in runner.take([run.id for run in made]):
        runner.execute(run_id)

    runner.start()
    runner.close()

    assert {runs.get(run.id).status for run in made} == {COMPLETED}


def test_what_ends_at_the_same_time_is_written_at_once(database, heartbeat, agent):
    made = [make_run() for _ in range(10)]
    runner = Runner("worker-1", SETTINGS, heartbeat)
    for run_id in runner.take([run.id for run in made]):
        runner.execute(run_id)

    with counted(database) as said:
        runner.start()
        runner.close()

    assert said.statements["recorder"] == 1


def test_an_outcome_that_cannot_be_written_costs_no_other_its_own(
    heartbeat, agent, monkeypatch, caplog
):
    bad, good = make_run(message="bad"), make_run(message="good")
    finish = runs.finish

    def refuse_bad(outcomes, *, now):
        if any(outcome.content == "bad" for outcome in outcomes.values()):
            raise ValueError("refused")
        return finish(outcomes, now=now)

    monkeypatch.setattr(runs, "finish", refuse_bad)
    runner = Runner("worker-1", SETTINGS, heartbeat)
    for run_id in runner.take([bad.id, good.id]):
        runner.execute(run_id)

    runner.start()
    runner.close()

    assert (runs.get(good.id).status, runs.get(bad.id).status) == (COMPLETED, RUNNING)
    assert f"run {bad.id} could not be recorded" in caplog.text


def test_a_run_whose_thread_fails_is_let_go(runner, agent, monkeypatch):
    run = make_run()
    monkeypatch.setattr(failpoints, "_armed", fails_at("worker.before_finish"))
    (taken,) = runner.take([run.id])

    with pytest.raises(ZeroDivisionError):
        runner.execute(taken)

    assert runner.room(0) == SETTINGS.worker_threads
    wait_until(lambda: reap() == [(run.id, QUEUED)])


def test_the_recorder_survives_whatever_happens(execute, agent, monkeypatch, caplog):
    first, second = make_run(), make_run()
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_armed", fails_at("worker.after_finish"))
        execute(first.id)

    execute(second.id)

    assert runs.get(second.id).status is COMPLETED


def fails_at(broken):
    def fail(point):
        if point == broken:
            raise ZeroDivisionError

    return fail


@pytest.mark.parametrize("write", ["finish", "retry_later"])
def test_a_result_whose_recording_was_not_answered_is_not_taken_for_a_late_one(
    write, execute, agent, monkeypatch, caplog
):
    run = make_run()
    if write == "retry_later":
        agent.does = fails(AgentError("Try again.", retryable=True))
    answered, unanswered = getattr(runs, write), iter([OperationalError("gone")])

    def write_and_lose_the_answer(*arguments, **options):
        moved = answered(*arguments, **options)
        for error in unanswered:
            raise error
        return moved

    monkeypatch.setattr(runs, write, write_and_lose_the_answer)

    with caplog.at_level("INFO"):
        execute(run.id)

    assert runs.get(run.id).status is (COMPLETED if write == "finish" else QUEUED)
    assert f"run {run.id} recorded" in caplog.text
    assert "no longer ours" not in caplog.text


# Checks.


@pytest.fixture
def checks_echo(monkeypatch):
    """Have the kind `echo` look at what the test says."""

    def look(see):
        monkeypatch.setattr(EchoAgent, "check", lambda self, context: see(context), raising=False)

    return look


def check_of(agent_id):
    made = new_runs.check(agent_id, key=None, now=clock.now())
    Run.update(dispatches=1).where(Run.id == made.id).execute()
    return made.id


def test_a_check_looks_and_runs_nothing(execute, agent, checks_echo):
    make_agent(config={"costUsd": 1})
    agent.does = fails(AssertionError("It ran."))
    checks_echo(lambda context: [Finding("ears", OK, "They hear.")])
    run_id = check_of("echo")

    execute(run_id)

    run, checked = runs.get(run_id), Agent.get_by_id("echo")
    assert (run.status, run.cost_usd) == (COMPLETED, None)
    assert json.loads(run.content) == checked.check_findings
    assert [each["name"] for each in checked.check_findings] == ["kind", "ears"]
    assert checked.check_status is CheckStatus.OK
    assert checked.checked_at == run.finished_at


def test_a_kind_that_has_no_look_is_checked_all_the_same(execute):
    make_agent()

    execute(check_of("echo"))

    assert Agent.get_by_id("echo").check_status is CheckStatus.OK


def test_what_is_found_shows_no_secret(execute, checks_echo):
    make_agent()
    secret = SETTINGS.secrets["KEY"]
    checks_echo(lambda context: [Finding(secret, WARN, f"Not {secret}.", f"Or {secret}.")])
    run_id = check_of("echo")

    execute(run_id)

    assert secret not in runs.get(run_id).content
    assert secret not in str(Agent.get_by_id("echo").check_findings)


def test_a_finding_is_whole_however_little_is_kept_of_an_output(execute, checks_echo):
    make_agent()
    long = "x" * 2 * SETTINGS.output_limit
    checks_echo(lambda context: [Finding("ears", WARN, long)])

    execute(check_of("echo"))

    assert Agent.get_by_id("echo").check_findings[0]["message"] == long


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        ("quantum", {}, "There is no kind 'quantum'"),
        ("echo", {"delaySeconds": "long"}, "Give a number"),
    ],
)
def test_an_agent_that_no_worker_can_make_fails_its_check(execute, kind, config, says):
    make_agent(kind=kind, config=config)

    execute(check_of("echo"))

    checked = Agent.get_by_id("echo")
    assert checked.check_status is CheckStatus.FAILED
    assert says in checked.check_findings[0]["message"]


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero"), AgentError("Away.", retryable=True)]
)
def test_a_look_that_breaks_fails_the_check_and_is_not_tried_again(
    execute, checks_echo, error, caplog
):
    def breaks(context):
        raise error

    make_agent()
    checks_echo(breaks)
    run_id = check_of("echo")

    execute(run_id)

    assert runs.get(run_id).status is FAILED
    checked = Agent.get_by_id("echo")
    assert checked.check_status is CheckStatus.FAILED
    assert str(error) in checked.check_findings[0]["message"]


def test_a_check_that_takes_too_long_fails(execute, checks_echo):
    make_agent()
    checks_echo(lambda context: until_stopped("", context))
    run_id = check_of("echo")
    Run.update(timeout_seconds=1).where(Run.id == run_id).execute()

    execute(run_id)

    assert runs.get(run_id).error["code"] == "TIMEOUT"
    assert Agent.get_by_id("echo").check_status is CheckStatus.FAILED


def test_a_check_of_what_was_saved_meanwhile_is_not_kept(execute, checks_echo):
    make_agent()
    run_id = check_of("echo")
    Agent.update(version=2).execute()

    execute(run_id)

    assert runs.get(run_id).status is COMPLETED
    assert Agent.get_by_id("echo").check_status is None
