"""Agents that keep a state, ask people, remember, and are told what has happened before."""

import json
import logging
import threading
import zlib
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import LEASE, MINUTE, NOON, held, make_agent, make_run, make_schedule, trigger
from scripts import SETTINGS, fails, until_stopped
from waiting import wait_until

from shared import approvals, clock, conversations, db, kinds, leases, runs
from shared.attempts import NOTHING, Lease, Leased, Outcome, Usage
from shared.models import Run, RunEvent, RunState, Schedule, Session
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    ApprovalPolicy,
    SessionPolicy,
)
from worker import recorder
from worker.agents.protocol import AgentError, Answer, Ask, Pause, Result
from worker.agents.stop import StopReason
from worker.process import WorkerProcess
from worker.usage import rounded

pytestmark = pytest.mark.usefixtures("database")

SECRET = SETTINGS.secrets["KEY"]
REFUND = Ask(id="call_1", tool="refund", arguments={"usd": 5})
MAIL = Ask(id="call_2", tool="mail", arguments={})


@pytest.fixture(autouse=True)
def echo_converses(monkeypatch):
    """Have the kind of these tests' agents be one that remembers."""
    monkeypatch.setattr(kinds.get("echo"), "converses", True, raising=False)


@pytest.fixture
def again(execute):
    """Have a run that is queued again executed, though its time has not come."""

    def again(run_id):
        Run.update(dispatches=1).where(Run.id == run_id).execute()
        execute(run_id)

    return again


@pytest.fixture
def seen(agent):
    """The messages and contexts that the agent, which answers, was given."""
    seen = []
    agent.does = lambda message, context: seen.append((message, context)) or Result(content="42")
    return seen


def asks(*asked, state="so far", use=NOTHING):
    """An agent that asks, and goes on with what was answered."""

    def do(message, context):
        context.use(use)
        if context.kept:
            return Result(content=json.dumps([context.kept, sorted(context.answers)]))
        context.keep(state)
        return Pause(asks=asked)

    return do


def answer(run, now=None, answers=(), **given):
    approvals.answer(run.id, {"answers": list(answers), **given}, now=now or clock.now())


def reported(run, type):
    query = RunEvent.select().where(RunEvent.run == run.id, RunEvent.type == type)
    return [event.data for event in query.order_by(RunEvent.seq)]


def everything_on_record():
    """What the database holds of runs, as text; what is compressed, as it was."""
    states = [conversations.unpacked(each.state) for each in RunState.select()]
    histories = [conversations.unpacked(each.history) for each in Session.select()]
    rows = [*Run.select().dicts(), *RunEvent.select().dicts()]
    return "\n".join([*map(repr, rows), *states, *histories])


# Asking people.


def test_who_asks_frees_its_worker_and_goes_on_from_where_it_was(execute, again, agent, runner):
    run = make_run()
    agent.does = asks(REFUND, MAIL)

    execute(run.id)

    paused = runs.get(run.id)
    assert (paused.status, paused.leased_by) == (PAUSED, None)
    assert paused.asks == [
        {"id": "call_1", "tool": "refund", "arguments": {"usd": 5}, "question": None},
        {"id": "call_2", "tool": "mail", "arguments": {}, "question": None},
    ]
    assert runner.room(0) == SETTINGS.worker_threads

    answer(run, approved=True)
    again(run.id)

    after = runs.get(run.id)
    assert (after.status, json.loads(after.content)) == (
        COMPLETED,
        ["so far", ["call_1", "call_2"]],
    )
    assert not RunState.select().exists()


def test_it_is_told_what_was_answered(execute, again, agent, seen):
    run = make_run()
    tells = agent.does
    agent.does = asks(REFUND, MAIL)
    execute(run.id)
    answer(run, approved=False, says="No.", answers=[{"id": "call_1", "approved": True}])
    agent.does = tells

    again(run.id)

    ((_, context),) = seen
    assert context.answers == {
        "call_1": Answer(approved=True),
        "call_2": Answer(approved=False, says="No."),
    }


@pytest.mark.parametrize("seconds", [None, 90])
def test_it_waits_as_long_as_its_schedule_says(execute, agent, seconds):
    run_id = trigger(make_schedule(approval_wait_seconds=seconds))
    Run.update(dispatches=1).execute()
    agent.does = asks(REFUND)
    before = clock.now()

    execute(run_id)

    answer_by = runs.get(run_id).answer_by
    if seconds is None:
        assert answer_by is None
    else:
        wait = timedelta(seconds=seconds)
        assert before + wait <= answer_by <= clock.now() + wait


def test_where_nobody_is_to_be_asked_it_fails(execute, agent):
    run_id = trigger(make_schedule(approval_policy=ApprovalPolicy.FAIL))
    Run.update(dispatches=1).execute()
    agent.does = asks(REFUND, MAIL, REFUND)

    execute(run_id)

    after = runs.get(run_id)
    assert (after.status, after.error) == (
        FAILED,
        {
            "code": "APPROVAL_REQUIRED",
            "message": "A person would have to answer its call of mail, refund;"
            " nobody is to be asked.",
        },
    )
    assert not RunState.select().exists()


@pytest.mark.parametrize("policy", ApprovalPolicy)
def test_where_all_is_denied_it_is_told_so_before(execute, seen, policy):
    run_id = trigger(make_schedule(approval_policy=policy))
    Run.update(dispatches=1).execute()

    execute(run_id)

    ((_, context),) = seen
    assert context.denies is (policy is ApprovalPolicy.DENY)


def test_who_is_cancelled_while_it_decides_to_ask_does_not_pause(execute, agent):
    run = make_run()

    def does(message, context):
        runs.cancel(run.id, now=clock.now())
        context.use(Usage(requests=1))
        return Pause(asks=[REFUND])

    agent.does = does
    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.asks, after.requests) == (CANCELLED, None, 1)


def test_who_was_lost_cannot_pause(execute, agent):
    run = make_run()

    def does(message, context):
        Run.update(attempt=2, leased_by="worker-2").where(Run.id == run.id).execute()
        context.keep("too late")
        return Pause(asks=[REFUND])

    agent.does = does
    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.leased_by, after.asks) == (RUNNING, "worker-2", None)
    assert not RunState.select().exists()


# Keeping a state.


def test_what_is_kept_is_written_while_the_agent_works(execute, agent, in_thread):
    run = make_run()

    def does(message, context):
        context.keep("first")
        context.keep("second")
        return until_stopped(message, context)

    agent.does = does
    in_thread(execute, run.id)

    wait_until(lambda: RunState.select().exists(), "the state to be written", timeout=5)
    kept = RunState.get()
    assert (kept.run_id, kept.attempt, conversations.unpacked(kept.state)) == (run.id, 1, "second")
    runs.cancel(run.id, now=clock.now())


def test_the_next_attempt_goes_on_from_what_the_failed_one_kept(execute, again, agent, seen):
    run = make_run()
    tells = agent.does

    def does(message, context):
        context.keep("half")
        raise AgentError("Try later.", retryable=True)

    agent.does = does
    execute(run.id)
    agent.does = tells

    again(run.id)

    ((_, context),) = seen
    assert (context.kept, context.attempt) == ("half", 2)
    assert runs.get(run.id).status is COMPLETED
    assert not RunState.select().exists()


def test_whose_worker_died_goes_on_from_what_was_written(execute, again, agent, seen):
    run = make_run(leased_by="worker-0")
    conversations.keep(Lease(run.id, 1), "half")
    leases.reap([Leased(Lease(run.id, 1), NOON + LEASE)], now=clock.now())

    again(run.id)

    ((_, context),) = seen
    assert context.kept == "half"


def test_what_is_too_large_is_not_kept(execute, agent):
    run = make_run()
    answers = []

    def does(message, context):
        answers.append(context.keep("x" * conversations.MOST_KEPT))
        answers.append(context.keep("x" * (conversations.MOST_KEPT + 1)))
        return Pause(asks=[REFUND])

    agent.does = does
    execute(run.id)

    assert answers == [True, False]
    assert len(conversations.unpacked(RunState.get().state)) == conversations.MOST_KEPT


def test_what_no_utf_8_can_say_is_kept_as_far_as_it_can(execute, agent):
    run = make_run()
    agent.does = asks(REFUND, state="a\ud800b")

    execute(run.id)

    assert runs.get(run.id).status is PAUSED
    assert conversations.unpacked(RunState.get().state) == "a\ufffdb"


# Remembering.


def test_a_session_goes_on_over_runs(execute, agent):
    schedule = make_schedule(session_policy=SessionPolicy.SHARED)

    def does(message, context):
        return Result(content="", history=context.history + "x")

    agent.does = does
    for number in range(3):
        run_id = trigger(schedule, NOON + number * MINUTE)
        Run.update(dispatches=1).where(Run.id == run_id).execute()
        execute(run_id)

    session = Session.get()
    assert (session.id, session.turns) == (schedule.id, 3)
    assert conversations.unpacked(session.history) == "xxx"


def test_a_run_that_fails_adds_nothing_to_its_session(execute, agent):
    run = make_run()
    agent.does = fails(AgentError("No."))

    execute(run.id)

    assert not Session.select().exists()


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        ("x" * conversations.MOST_KEPT, "x" * conversations.MOST_KEPT),
        ("x" * (conversations.MOST_KEPT + 1), None),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        (f'["{SECRET}"]', '["***"]'),
    ],
    ids=["long", "too long", "unstorable", "secret"],
)
def test_what_is_remembered_is_bounded_and_without_secrets(execute, agent, history, kept):
    run = make_run()
    agent.does = lambda message, context: Result(content="42", history=history)

    execute(run.id)

    assert (runs.get(run.id).status, runs.get(run.id).content) == (COMPLETED, "42")
    remembered = [conversations.unpacked(each.history) for each in Session.select()]
    assert remembered == ([] if kept is None else [kept])


def test_a_session_that_cannot_be_written_leaves_the_run_to_be_done_again(
    execute, agent, monkeypatch, caplog
):
    """The run and its session are written together, or neither is."""
    run = make_run()
    agent.does = lambda message, context: Result(content="42", history="[]")

    def broken(*args, **options):
        raise ValueError("broken")

    monkeypatch.setattr(recorder.conversations, "remember", broken)
    execute(run.id)

    assert runs.get(run.id).status is RUNNING
    assert "could not be recorded" in caplog.text


@pytest.mark.parametrize("kept", [b"no zlib", zlib.compress(b"\xff")], ids=["packed", "text"])
def test_what_was_kept_and_cannot_be_read_fails_its_own_run_alone(runner, heartbeat, seen, kept):
    going_on, remembering, sound = make_run(), make_run(), make_run()
    RunState.create(run=going_on, attempt=0, state=kept)
    of_a_session = {"agent_id": "echo", "size": 1, "turns": 1}
    at = {"created_at": NOON, "updated_at": NOON}
    Session.create(id=remembering.session_id, history=kept, **of_a_session, **at)

    for taken in runner.take([going_on.id, remembering.id, sound.id]):
        runner.execute(taken)
    wait_until(lambda: not heartbeat.holding())

    assert runs.get(sound.id).status is COMPLETED
    for run in (going_on, remembering):
        after = runs.get(run.id)
        assert (after.status, after.error["code"]) == (FAILED, "REJECTED")
        assert "cannot be read" in after.error["message"]
        assert str(run.session_id) in after.error["message"]
    assert [context.run_id for _, context in seen] == [sound.id]
    assert runner.room(0) == SETTINGS.worker_threads


def test_sessions_of_what_ends_together_are_locked_in_one_order(runner, heartbeat, monkeypatch):
    """Or two workers that end runs of the same ones could wait for each other."""
    written = []
    monkeypatch.setattr(
        recorder.conversations, "remember", lambda run, *_, **__: written.append(run.session_id)
    )
    runner.take([make_run().id for _ in range(8)])
    works = {work.lease: work for work in heartbeat.holding()}
    outcomes = {lease: Outcome(status=COMPLETED, history="[]") for lease in works}

    recorder._finish(outcomes, works)

    assert len(written) == 8
    assert written == sorted(written)


# Messages.


def test_a_message_is_filled_in_and_on_record(execute, seen):
    schedule = make_schedule(
        name="Daily", message="{{ schedule.name }} of {{ run.id }}: {{ lastOutput }}"
    )
    run_id = trigger(schedule)
    Run.update(dispatches=1).execute()

    execute(run_id)

    ((message, _),) = seen
    assert message == f"Daily of {run_id}: none"
    after = runs.get(run_id)
    assert after.message == schedule.message
    assert reported(after, "message") == [{"text": message}]


def test_a_last_output_that_looks_like_a_place_is_not_filled_in(execute, agent, seen):
    schedule = make_schedule(message="{{ lastOutput }}")
    tells = agent.does
    agent.does = lambda message, context: Result(content="{{ run.id }}")
    first, second = trigger(schedule, NOON), trigger(schedule, NOON + MINUTE)
    Run.update(dispatches=1).execute()
    execute(first)
    agent.does = tells

    execute(second)

    ((message, _),) = seen
    assert message == "{{ run.id }}"


def test_who_gets_the_last_output_gets_it_at_the_end(execute, agent, seen):
    schedule = make_schedule(message="Go on.", session_policy=SessionPolicy.LAST_OUTPUT)
    first, second = trigger(schedule, NOON), trigger(schedule, NOON + MINUTE)
    Run.update(dispatches=1).execute()

    execute(first)
    execute(second)

    messages = [message for message, _ in seen]
    assert messages == [
        "Go on.\n\nThe answer of the run before this one:\nnone",
        "Go on.\n\nThe answer of the run before this one:\n42",
    ]


def test_places_of_what_is_of_no_schedule_stay_as_they_are(execute, seen):
    run = make_run(message="{{ run.id }} {{ lastOutput }}")

    execute(run.id)

    ((message, _),) = seen
    assert message == "{{ run.id }} {{ lastOutput }}"
    assert reported(run, "message") == []


def test_places_in_the_message_of_a_trigger_are_filled_in_as_far_as_they_are_known(execute, seen):
    run_id = trigger(make_schedule(), message="{{ schedule.name }} {{ weather }} {{")
    Run.update(dispatches=1).execute()

    execute(run_id)

    ((message, _),) = seen
    assert message == "Daily summary {{ weather }} {{"


def test_a_schedule_whose_zone_is_gone_fails_its_own_run_alone(runner, heartbeat, seen):
    broken = trigger(make_schedule(message="{{ scheduledFor }}", timezone="Mars/Olympus"))
    sound = trigger(make_schedule(message="{{ scheduledFor }}"))
    Run.update(dispatches=1).execute()

    for taken in runner.take([broken, sound]):
        runner.execute(taken)
    wait_until(lambda: not heartbeat.holding())

    after = runs.get(broken)
    assert (after.status, after.error["code"]) == (FAILED, "REJECTED")
    assert "Mars/Olympus" in after.error["message"]
    assert runs.get(sound).status is COMPLETED


def test_a_schedule_that_was_deleted_meanwhile_fills_in_what_it_said(execute, seen):
    schedule = make_schedule(message="{{ schedule.name }}")
    run_id = trigger(schedule)
    Run.update(dispatches=1).execute()
    Schedule.update(deleted_at=NOON, enabled=False, next_run_at=None).execute()

    execute(run_id)

    assert [message for message, _ in seen] == ["Daily summary"]


# What was used.

USED = Usage(
    input_tokens=10, output_tokens=5, requests=1, tool_calls=2, cost_usd=Decimal("0.000123")
)


def used(run_id):
    run = runs.get(run_id)
    return (run.input_tokens, run.output_tokens, run.requests, run.tool_calls, run.cost_usd)


ONCE = (10, 5, 1, 2, Decimal("0.000123"))
TWICE = (20, 10, 2, 4, Decimal("0.000246"))


def test_what_attempts_that_failed_have_used_is_added(execute, again, agent):
    run = make_run(max_attempts=2)

    def does(message, context):
        context.use(USED)
        raise AgentError("Try later.", retryable=True)

    agent.does = does
    execute(run.id)
    assert (runs.get(run.id).status, used(run.id)) == (QUEUED, ONCE)

    again(run.id)
    assert (runs.get(run.id).status, used(run.id)) == (FAILED, TWICE)


def test_of_which_model_it_was_is_on_record_however_the_attempt_ends(execute, again, agent):
    run = make_run(max_attempts=2)

    def does(message, context):
        context.use(USED, "gpt-5-mini")
        if context.attempt == 1:
            return Pause(asks=[REFUND])
        context.use(USED, "gpt-5-large" if context.attempt == 3 else None)
        raise AgentError("Try later.", retryable=True)

    agent.does = does
    execute(run.id)
    assert (runs.get(run.id).status, runs.get(run.id).model) == (PAUSED, "gpt-5-mini")
    answer(run, approved=True)
    again(run.id)
    assert (runs.get(run.id).status, runs.get(run.id).model) == (QUEUED, "gpt-5-mini")

    again(run.id)

    assert (runs.get(run.id).status, runs.get(run.id).model) == (FAILED, "gpt-5-large")


def test_what_was_used_before_it_paused_is_added(execute, again, agent):
    run = make_run()
    agent.does = asks(REFUND, use=USED)
    execute(run.id)
    assert (runs.get(run.id).status, used(run.id)) == (PAUSED, ONCE)
    answer(run, approved=True)

    again(run.id)

    assert (runs.get(run.id).status, used(run.id)) == (COMPLETED, TWICE)


def test_what_a_drained_attempt_has_used_is_added(runner, execute, agent, heartbeat, in_thread):
    run, begun = make_run(), threading.Event()

    def does(message, context):
        context.use(USED)
        begun.set()
        return until_stopped(message, context)

    agent.does = does
    in_thread(execute, run.id)
    assert begun.wait(10)

    heartbeat.stop_all(StopReason.DRAINED)

    wait_until(lambda: runs.get(run.id).status is QUEUED)
    assert used(run.id) == ONCE


def test_what_was_used_up_is_written_with_what_is_kept(runner, execute, agent, in_thread):
    run = make_run()

    def does(message, context):
        context.use(USED)
        context.keep("half")
        context.use(USED)
        return until_stopped(message, context)

    agent.does = does
    in_thread(execute, run.id)

    wait_until(lambda: RunState.select().exists(), "the state to be written", timeout=5)
    lease = Lease(run.id, 1)
    assert conversations.used_by([lease, Lease(run.id, 2)]) == {lease: rounded(USED)}
    runs.cancel(run.id, now=clock.now())


def lose(run, attempt):
    """Have the reaper take a run from whoever is at that attempt."""
    Run.update(lease_until=NOON).where(Run.id == run.id).execute()
    leases.reap([Leased(Lease(run.id, attempt), NOON)], now=NOON)


@pytest.mark.parametrize("how", [QUEUED, FAILED, CANCELLED])
def test_what_was_used_by_an_attempt_whose_worker_died_counts_once(how):
    run = make_run(leased_by="worker-0", max_attempts=1 if how is FAILED else 2)
    if how is CANCELLED:
        runs.cancel(run.id, now=NOON)
    conversations.keep(held(run), "half", USED)

    lose(run, 1)

    assert (runs.get(run.id).status, used(run.id)) == (how, ONCE)
    if how is QUEUED:
        # The next one dies before it has kept anything.
        Run.update(dispatches=1).where(Run.id == run.id).execute()
        assert runs.claim([run.id], "worker-1", lease=LEASE, now=NOON)
        lose(run, 2)
        assert (runs.get(run.id).status, used(run.id)) == (FAILED, ONCE)


def test_what_was_used_counts_once_though_a_worker_of_the_release_before_goes_on():
    run = make_run(leased_by="worker-0", max_attempts=2)
    conversations.keep(held(run), "half", USED)
    lose(run, 1)
    Run.update(dispatches=1).where(Run.id == run.id).execute()
    assert runs.claim([run.id], "worker-1", lease=LEASE, now=NOON)

    # As that writes it: it knows nothing of what was used.
    RunState.update(attempt=2, state=conversations.packed("more")).execute()
    lose(run, 2)

    assert (runs.get(run.id).status, used(run.id)) == (FAILED, ONCE)


def test_of_what_was_used_the_release_after_may_know_more():
    run = make_run(leased_by="worker-0", max_attempts=1)
    conversations.keep(held(run), "half", USED)
    more = {**RunState.get().used, "carbon_grams": 7}
    RunState.update(used=more).execute()

    lose(run, 1)

    assert (runs.get(run.id).status, used(run.id)) == (FAILED, ONCE)


def test_leases_are_renewed_while_a_state_is_written(execute, agent, in_thread, monkeypatch):
    run, writing, proceed = make_run(), threading.Event(), threading.Event()
    keep = conversations.keep

    def keep_slowly(*state):
        writing.set()
        assert proceed.wait(20)
        keep(*state)

    def does(message, context):
        context.keep("half")
        return until_stopped(message, context)

    monkeypatch.setattr(conversations, "keep", keep_slowly)
    agent.does = does
    in_thread(execute, run.id)
    assert writing.wait(10)

    before = runs.get(run.id).lease_until
    wait_until(lambda: runs.get(run.id).lease_until > before, "the lease to be renewed")

    proceed.set()
    runs.cancel(run.id, now=clock.now())


@pytest.mark.parametrize("how", [CANCELLED, FAILED])
def test_what_was_used_before_it_was_stopped_counts(execute, agent, in_thread, how):
    run, begun = make_run(timeout_seconds=60 if how is CANCELLED else 1), threading.Event()

    def does(message, context):
        context.use(USED)
        begun.set()
        return until_stopped(message, context)

    agent.does = does
    in_thread(execute, run.id)
    assert begun.wait(10)
    if how is CANCELLED:
        runs.cancel(run.id, now=clock.now())

    wait_until(lambda: runs.get(run.id).status is how)
    assert used(run.id) == ONCE


def test_what_is_reported_and_what_the_result_says_is_added(execute, agent):
    run = make_run()

    def does(message, context):
        context.use(USED)
        return Result(content="", input_tokens=10, output_tokens=5, cost_usd=Decimal("0.000123"))

    agent.does = does
    execute(run.id)

    assert used(run.id) == (20, 10, 1, 2, Decimal("0.000246"))


def test_however_often_it_is_reported_it_fits_into_its_column(execute, agent):
    run = make_run()

    def does(message, context):
        for _ in range(50):
            context.use(Usage(input_tokens=10**8, cost_usd=Decimal(10**6)))
        return Result(content="42")

    agent.does = does
    execute(run.id)

    after = runs.get(run.id)
    assert (after.status, after.content) == (COMPLETED, "42")
    assert (after.input_tokens, after.cost_usd) == (10**8, 10**6)


# When it is tried again.


@pytest.mark.parametrize(
    ("after", "waits"),
    [
        (timedelta(), timedelta(seconds=30)),
        (timedelta(seconds=5), timedelta(seconds=30)),
        (timedelta(minutes=10), timedelta(minutes=10)),
        (timedelta(hours=2), timedelta(hours=1)),
        (timedelta.max, timedelta(hours=1)),
        (timedelta(days=-1), timedelta(seconds=30)),
    ],
    ids=str,
)
def test_it_is_tried_again_when_the_service_says_so(execute, agent, after, waits):
    run = make_run(retry_backoff_seconds=30)
    agent.does = fails(AgentError("Later.", retryable=True, retry_after=after))
    before = clock.now()

    execute(run.id)

    at = runs.get(run.id).available_at
    assert before + waits <= at <= clock.now() + waits * 1.5


# Secrets.


@pytest.mark.parametrize(("names", "given"), [([], {}), (["KEY"], {"KEY": SECRET}), (["X"], {})])
def test_an_agent_is_given_only_the_secrets_that_it_names(execute, seen, monkeypatch, names, given):
    monkeypatch.setattr(
        kinds.get("echo"), "secrets", staticmethod(lambda config: names), raising=False
    )

    execute(make_run().id)

    ((_, context),) = seen
    assert context.secrets == given


def test_a_secret_is_nowhere_on_record_and_in_no_log(execute, agent, again, caplog):
    caplog.set_level(logging.DEBUG)

    def does(message, context):
        context.report("log", {"text": SECRET, SECRET: [f"in {SECRET}", {"deep": SECRET}]})
        context.keep(json.dumps({"said": SECRET}))
        if not context.kept:
            return Pause(asks=[Ask(id="call_1", tool="mail", arguments={"text": SECRET})])
        return Result(
            content=SECRET,
            model=f"model of {SECRET}",
            metadata={SECRET: [SECRET]},
            history=json.dumps([SECRET]),
        )

    agent.does = does
    run = make_run()
    execute(run.id)
    paused = everything_on_record()
    answer(run, approved=True)
    again(run.id)
    for error in (AgentError(SECRET), ValueError(f"no {SECRET}")):
        agent.does = fails(error)
        execute(make_run().id)

    record = paused + everything_on_record() + caplog.text
    assert SECRET not in record
    assert "***" in paused
    assert runs.get(run.id).content == "***"
    assert runs.get(run.id).model == "model of ***"


# Getting ready.


def test_kinds_in_use_are_made_ready_and_one_that_fails_keeps_no_worker_from_starting(
    settings, monkeypatch, caplog
):
    loaded = []

    def preload(kind):
        loaded.append(kind)
        if kind == "command":
            raise ImportError("No module named 'broken'")

    make_agent("one", kind="command")
    make_agent("two", kind="echo")
    make_agent("off", kind="http", enabled=False)
    monkeypatch.setattr(kinds, "preload", preload)

    WorkerProcess(settings)._preload()

    assert loaded == ["command", "echo"]
    assert "kind command could not be preloaded" in caplog.text


def test_without_a_database_nothing_is_made_ready(settings, monkeypatch, caplog):
    def away():
        raise db.UNREACHABLE[0]("gone")

    monkeypatch.setattr("shared.agents.kinds_in_use", away)

    WorkerProcess(settings)._preload()

    assert "nothing is preloaded" in caplog.text
