"""/schedules: the standing orders."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, examples, making, reading, work
from api.blueprint import Blueprint
from api.rendering import Renderer, answer
from api.schemas.pages import page_of
from api.schemas.runs import RunOfScheduleQuerySchema, RunSchema
from api.schemas.schedules import (
    ChangedScheduleSchema,
    FireTimesSchema,
    ForecastOrdersSchema,
    ForecastSchema,
    NewScheduleSchema,
    PreviewSchema,
    ReplacedScheduleSchema,
    ScheduleQuerySchema,
    ScheduleSchema,
    TriggeredSchema,
    TriggerSchema,
)
from shared import audit, clock, cron, db, forecast, history, new_runs, schedules
from shared.audit import Changes
from shared.errors import CronError, Invalid
from shared.fields import written
from shared.forecast import Forecast
from shared.new_runs import Made
from shared.pages import Paging
from shared.states import PAUSED, Role

blp = Blueprint("schedules", says="Standing orders: which agent, what to tell it, and when.")
SCHEDULE = Renderer(ScheduleSchema, schedules.SCHEDULES)
RUN = Renderer(RunSchema, history.RUNS)
_WAITS = "Schedule execution waits for money: the run is paused, and its error says why."


@blp.route("")
class Schedules(MethodView):
    """All schedules."""

    @blp.query(ScheduleQuerySchema)
    @blp.answers(200, page_of(ScheduleSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List schedules

        The newest first, unless `sort` says otherwise.
        """
        return SCHEDULE.page(schedules.page(filters, paging))

    @blp.body(NewScheduleSchema, example=examples.NEW_SCHEDULE)
    @blp.answers(201, ScheduleSchema, example=examples.SCHEDULE)
    def post(self, fields: dict[str, Any]) -> Response:
        """Make a schedule

        It runs nothing yet. With an `Idempotency-Key`, asking twice makes one schedule.
        """
        now = work.now()
        with db.transaction():
            made, new = schedules.create(fields, key=reading.idempotency_key(), now=now)
            if new:
                _record("create", made, audit.made(fields))
            row = schedules.get(made)
        return SCHEDULE.tagged(row, 201, {"Location": f"/api/v1/schedules/{made}"})


@blp.route("/<uuid:schedule_id>")
class Schedule(MethodView):
    """One schedule."""

    @blp.answers(200, ScheduleSchema, example=examples.SCHEDULE)
    def get(self, schedule_id: UUID) -> Response:
        """Get a schedule"""
        return SCHEDULE.tagged(schedules.get(schedule_id))

    @blp.body(ReplacedScheduleSchema, example=examples.REPLACED_SCHEDULE)
    @blp.answers(200, ScheduleSchema, example=examples.SCHEDULE)
    def put(self, fields: dict[str, Any], schedule_id: UUID) -> Response:
        """Replace a schedule

        Takes what a new schedule takes; what is not named stays as it is.
        """
        return _changed(schedule_id, fields)

    @blp.body(ChangedScheduleSchema, example={"enabled": False})
    @blp.answers(200, ScheduleSchema, example=examples.SCHEDULE)
    def patch(self, fields: dict[str, Any], schedule_id: UUID) -> Response:
        """Change a schedule

        Changes only what is named. null resets what can be null.
        """
        return _changed(schedule_id, fields)

    @blp.answers(204)
    def delete(self, schedule_id: UUID) -> Response:
        """Delete a schedule

        Its runs can still be read.
        """
        with db.transaction():
            schedules.delete(schedule_id, version=reading.if_match(), now=work.now())
            _record("delete", schedule_id)
        return Response(status=204)


@blp.route("/<uuid:schedule_id>/trigger")
class Trigger(MethodView):
    """A run of a schedule, made by hand."""

    @blp.body(TriggerSchema, optional=True)
    @blp.answers(202, TriggeredSchema, example=examples.TRIGGERED)
    def post(self, orders: dict[str, Any], schedule_id: UUID) -> Response:
        """Run a schedule now

        Whatever its expression says, and even while it is disabled. The body may be left out. Where
        a budget has no room for it, the answer is 409, or a run that is `PAUSED`, as that budget
        says.
        """

        def make(**how: Any) -> Made:
            message = orders.get("message")
            return new_runs.trigger(
                schedule_id, message=message, metadata=orders["metadata"], **how
            )

        run_id, status = making.run(make, "schedule.trigger", ("schedule", schedule_id))
        says = _WAITS if status is PAUSED else "Schedule execution triggered."
        body = {"message": says, "runId": str(run_id)}
        return answer(body, 202, {"Location": f"/api/v1/runs/{run_id}"})


@blp.route("/<uuid:schedule_id>/runs")
class RunsOfSchedule(MethodView):
    """The history of a schedule."""

    @blp.query(RunOfScheduleQuerySchema)
    @blp.answers(200, page_of(RunSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging, schedule_id: UUID) -> Response:
        """List the runs of a schedule

        The newest first. A deleted schedule keeps its history.
        """
        schedules.check_known(schedule_id)
        return RUN.page(history.page({**filters, "schedule_id": schedule_id}, paging))


@blp.route("/preview", writes=Role.VIEWER)
class Preview(MethodView):
    """What an expression means."""

    @blp.body(PreviewSchema, example=examples.PREVIEW)
    @blp.answers(200, FireTimesSchema, example=examples.FIRE_TIMES)
    def post(self, asked: dict[str, Any]) -> Response:
        """Preview an expression

        Says in words when it fires, and gives its next fire times with what clock changes do to
        them. Nothing is saved.
        """
        expression, timezone = asked["cron_expression"], asked["timezone"]
        after = asked.get("after") or clock.now()
        try:
            cron.load_zone(timezone)
            fire_times = cron.preview(expression, timezone, after, asked["count"])
        except CronError as error:
            raise Invalid({"cronExpression": [str(error)]}) from None
        return answer(
            {
                "description": cron.describe(expression, timezone),
                "fireTimes": [
                    {
                        "at": written(each.at),
                        "local": each.local.isoformat(),
                        "note": each.note,
                    }
                    for each in fire_times
                ],
            }
        )


@blp.route("/forecast", writes=Role.VIEWER)
class ForecastOfOrders(MethodView):
    """What a schedule would run and cost."""

    @blp.body(ForecastOrdersSchema, example=examples.FORECAST_ORDERS)
    @blp.answers(200, ForecastSchema, example=examples.FORECAST)
    def post(self, orders: dict[str, Any]) -> Response:
        """Forecast a schedule before it is made

        Counts its fire times, and says as a range what its runs will cost, by what the latest of
        the agent's have cost. What nobody knows is null, with the reason in `note`. Nothing is
        saved.
        """
        return _forecasted(forecast.of_orders(orders, now=work.now()))


@blp.route("/<uuid:schedule_id>/forecast")
class ForecastOfSchedule(MethodView):
    """What a schedule will run and cost."""

    @blp.answers(200, ForecastSchema, example=examples.FORECAST)
    def get(self, schedule_id: UUID) -> Response:
        """Forecast a schedule

        Whether or not it is enabled.
        """
        return _forecasted(forecast.of_schedule(schedule_id, now=work.now()))


def _forecasted(found: Forecast) -> Response:
    cadence, cost = found.cadence, found.cost
    return answer(
        {
            "from": written(cadence.since),
            "firstRunAt": cadence.first and written(cadence.first),
            "runsPerDay": round(cadence.per_day, 3),
            "runsNextDay": cadence.next_day,
            "runsNext30Days": cadence.next_30_days,
            "costUsd": {
                "run": found.cost_of(1),
                "nextDay": found.cost_of(cadence.next_day),
                "next30Days": found.cost_of(cadence.next_30_days),
                "basedOn": cost.measured.count if cost.measured else 0,
                "note": cost.note,
            },
        }
    )


def _changed(schedule_id: UUID, fields: Mapping[str, Any]) -> Response:
    with db.transaction():
        changes = schedules.change(schedule_id, fields, version=reading.if_match(), now=work.now())
        if changes:
            _record("update", schedule_id, changes)
        row = schedules.get(schedule_id)
    return SCHEDULE.tagged(row)


def _record(action: str, schedule_id: UUID, changes: Changes | None = None) -> None:
    audit.record(
        access.principal(),
        f"schedule.{action}",
        ("schedule", schedule_id),
        changes,
        now=work.now(),
    )
