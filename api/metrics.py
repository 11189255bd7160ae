"""/metrics: how the whole system is doing, as Prometheus reads it.

Every api process tells the same, for each asks the database; that it could not be asked is what
Prometheus' own `up` says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import Response
from flask.views import MethodView
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from api.blueprint import Blueprint
from shared import clock, vitals
from shared.vitals import Load, Pulse

blp = Blueprint("metrics", says="Metrics for Prometheus; a viewer's token will do.")


@blp.route("/metrics")
class Metrics(MethodView):
    """The metrics of the whole system."""

    @blp.answers(200)
    def get(self) -> Response:
        """Read the metrics

        In Prometheus' text format.
        """
        now = clock.now()
        reading = Reading(vitals.pulse(), vitals.load(now), now)
        return Response(generate_latest(reading), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@dataclass(frozen=True)
class Reading:
    """The vitals at one instant; a collector, as Prometheus' library has it."""

    pulse: Pulse
    load: Load
    now: datetime

    def collect(self) -> Iterator[Metric]:
        """Every metric; one that nothing is known of has no value."""
        for name, meaning, value in self._gauges():
            yield GaugeMetricFamily(f"agent_manager_{name}", meaning, value)

    def _gauges(self) -> Iterator[tuple[str, str, float | None]]:
        load, pulse = self.load, self.pulse
        yield "runs_queued", "Runs that wait for a worker or for their time.", load.queued
        yield "runs_running", "Runs that a worker holds.", load.running
        yield (
            "oldest_queued_run_age_seconds",
            "For how long the run that waits longest could have been started; 0 when none waits.",
            self._age(load.waiting_since) or 0,
        )
        yield (
            "oldest_lease_overdue_seconds",
            "For how long the lease that ran out first has been out; 0 when all hold.",
            self._age(load.lease_until) or 0,
        )
        yield "schedules_enabled", "Schedules that are enabled.", load.schedules_enabled
        yield (
            "schedules_set_aside",
            "Enabled schedules that a tick could make no sense of.",
            load.schedules_set_aside,
        )
        yield (
            "oldest_due_schedule_age_seconds",
            "For how long the schedule that is overdue longest has waited for a tick; 0 when none.",
            self._age(pulse.next_run_at) or 0,
        )
        yield (
            "last_tick_age_seconds",
            "How long ago a scheduler last ticked.",
            self._age(pulse.last_tick_at),
        )
        yield (
            "last_tick_duration_seconds",
            "How long that tick took.",
            None if pulse.last_tick_ms is None else pulse.last_tick_ms / 1000,
        )
        yield "workers", "Worker processes that were seen in the last minute.", load.workers
        yield "worker_threads", "How many runs those workers can hold at once.", load.threads

    def _age(self, since: datetime | None) -> float | None:
        return None if since is None else max((self.now - since).total_seconds(), 0)
