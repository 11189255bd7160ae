"""/metrics: how the whole system is doing, as Prometheus reads it.

Every api process tells the same, for each asks the database; that it could not be asked is what
Prometheus' own `up` says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask import Response
from flask.views import MethodView
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from api.blueprint import Blueprint
from api.figures import AMOUNTS, COUNTS, CROWDS, FIGURES
from api.services import services
from shared import clock, queues, reference, vitals
from shared.queues import Queue
from shared.vitals import Load, Pulse

PREFIX = "agent_manager"

blp = Blueprint("metrics", says="Metrics for Prometheus; a viewer's token will do.")


@blp.route("/metrics")
class Metrics(MethodView):
    """The metrics of the whole system."""

    @blp.streams("text/plain")
    def get(self) -> Response:
        """Read the metrics

        In Prometheus' text format.
        """
        now, settings = reference.now(clock.now), services().settings
        crowd = queues.all_queues(now, threads_of_a_worker=settings.worker_threads)
        reading = Reading(vitals.pulse(now), vitals.load(), crowd)
        return Response(generate_latest(reading), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@dataclass(frozen=True)
class Reading:
    """The vitals at one instant; a collector, as Prometheus' library has it."""

    pulse: Pulse
    load: Load
    queues: Sequence[Queue]

    def collect(self) -> Iterator[Metric]:
        """Every metric; one that nothing is known of has no value."""
        for figure in FIGURES:
            value = figure.read(self.pulse)
            yield GaugeMetricFamily(f"{PREFIX}_{figure.name}", figure.meaning, value)
        for amount in AMOUNTS:
            yield GaugeMetricFamily(
                f"{PREFIX}_{amount.name}", amount.meaning, amount.read(self.load)
            )
        for crowd in CROWDS:
            family = GaugeMetricFamily(f"{PREFIX}_{crowd.name}", crowd.meaning, labels=["queue"])
            for queue in self.queues:
                family.add_metric([queue.name], crowd.read(queue, self.pulse.now))
            yield family
        for count, number in self.pulse.counts.items():
            yield CounterMetricFamily(f"{PREFIX}_{count}", COUNTS[count], number)
