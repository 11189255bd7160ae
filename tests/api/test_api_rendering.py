"""Rendering from tuples gives what marshmallow would give of the models."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_agent, make_run, make_schedule

from api.rendering import Renderer
from api.schemas.agents import AgentSchema
from api.schemas.runs import EventSchema, RunSchema
from api.schemas.schedules import ScheduleSchema
from shared import agents, history, schedules
from shared.models import Run, RunEvent, Schedule
from shared.pages import Paging
from shared.states import FAILED, CheckStatus

pytestmark = pytest.mark.usefixtures("database")

ODD = NOON + timedelta(microseconds=1)


def dumped(schema, model, **more):
    read = type(model).get(model._meta.primary_key == model._pk)
    return json.loads(json.dumps(schema().dump({**read.__data__, **more})))


def history_of(run):
    return Run.get_by_id(run.id).__data__


def rendered(schema, listing, row):
    return json.loads(Renderer(schema, listing).texts([row])[0])


def test_of_a_schedule():
    run = make_run(status=FAILED, scheduled_for=NOON, started_at=ODD, finished_at=NOON + MINUTE)
    for last_run_id, values in [
        (None, {}),
        (run.id, {"tags": ["a", "ü"], "start_at": ODD, "end_at": NOON + MINUTE, "error": "x"}),
    ]:
        schedule = make_schedule(last_run_id=last_run_id, **values)

        row = schedules.get(schedule.id)

        last_run = None if last_run_id is None else {"run_id": run.id, **history_of(run)}
        joined = {"agent_id": "echo", "last_run": last_run, "warning": None}
        expected = dumped(ScheduleSchema, schedule, **joined)
        assert rendered(ScheduleSchema, schedules.SCHEDULES, row) == expected


def test_of_a_run():
    make_agent()
    for values in [
        {},
        {
            "schedule": make_schedule(),
            "status": FAILED,
            "started_at": NOON,
            "finished_at": ODD + MINUTE,
            "error": {"code": "TIMEOUT", "message": "Too slow."},
            "input_tokens": 2,
            "output_tokens": 3,
            "cost_usd": Decimal("0.000001"),
            "metadata": {"a": {"b": [1.5, None, "ü"]}},
        },
    ]:
        run = make_run(**values)

        row = history.get(run.id)

        tokens = None if run.input_tokens is None else run.input_tokens + run.output_tokens
        expected = dumped(
            RunSchema,
            run,
            schedule_id=run.schedule_id,
            batch_id=None,
            duration_ms=60_000 if run.finished_at else None,
            metrics={**history_of(run), "total_tokens": tokens},
        )
        assert rendered(RunSchema, history.RUNS, row) == expected


def test_of_an_agent():
    finding = {"name": "ears", "status": CheckStatus.WARNING, "message": "They hear “ü”."}
    found = {"check_status": CheckStatus.WARNING, "check_findings": [finding]}
    for check, values in [
        (None, {}),
        (
            {"status": CheckStatus.WARNING, "checked_at": ODD, "findings": [finding]},
            {**found, "checked_at": ODD, "checked_version": 1},
        ),
    ]:
        agent = make_agent(
            f"a{len(values)}", config={"delaySeconds": 2}, max_concurrency=3, **values
        )

        row = agents.get(agent.id)

        expected = dumped(AgentSchema, agent, check=check)
        assert rendered(AgentSchema, agents.AGENTS, row) == expected


def test_of_an_event():
    run = make_run()
    event = RunEvent.create(run=run, seq=1, at=ODD, attempt=1, type="log", data={"line": "ü"})

    (row,) = history.events(run.id, Paging()).rows

    assert rendered(EventSchema, history.EVENTS, row) == dumped(EventSchema, event)


def test_a_schedule_made_by_hand_reads_back_as_it_was_written():
    schedule = make_schedule(run_at=NOON, cron_expression=None)

    row = schedules.get(schedule.id)

    shown = rendered(ScheduleSchema, schedules.SCHEDULES, row)
    assert (shown["runAt"], shown["cronExpression"]) == ("2026-11-22T12:00:00Z", None)
    assert Schedule.get_by_id(schedule.id).run_at == NOON
