"""/queues: what waits and who works, as autoscalers read it."""

from datetime import datetime
from typing import Any

from flask import Response
from flask.views import MethodView

from api import work
from api.blueprint import Blueprint
from api.rendering import answer
from api.schemas.queues import QueueSchema, QueuesSchema
from api.services import services
from shared import queues
from shared.queues import Queue

blp = Blueprint("queues", says="What waits and who works, for whoever scales workers.")


@blp.route("")
class Queues(MethodView):
    """All queues."""

    @blp.answers(200, QueuesSchema)
    def get(self) -> Response:
        """List the queues

        That of schedules first, then those of the compute profiles.
        """
        now = work.now()
        found = queues.all_queues(now, threads_of_a_worker=services().settings.worker_threads)
        return answer({"content": [_shown(each, now) for each in found]})


@blp.route("/<slug:name>")
class OneQueue(MethodView):
    """One queue."""

    @blp.answers(200, QueueSchema)
    def get(self, name: str) -> Response:
        """Get a queue

        KEDA's `metrics-api` scaler reads `wantedWorkers` here.
        """
        now = work.now()
        threads = services().settings.worker_threads
        return answer(_shown(queues.one(name, now, threads_of_a_worker=threads), now))


def _shown(queue: Queue, now: datetime) -> dict[str, Any]:
    return {
        "name": queue.name,
        "compute": queue.compute,
        "depth": queue.depth,
        "oldestAgeSeconds": queue.oldest_age(now).total_seconds(),
        "running": queue.running,
        "workers": queue.workers,
        "workerThreads": queue.threads,
        "wantedWorkers": queue.wanted_workers,
        "maxWorkers": queue.max_workers,
    }
