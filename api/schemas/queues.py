"""Queues."""

from marshmallow import fields

from shared.fields import CamelSchema, described


class QueueSchema(CamelSchema):
    """A queue, for whoever scales its workers."""

    name = fields.String(metadata=described("What it is called.", "spot-large"))
    compute = fields.String(
        allow_none=True,
        metadata=described("The compute profile of its workers; null: it is that of schedules."),
    )
    depth = fields.Integer(metadata=described("How much could run now, and does not."))
    oldest_age_seconds = fields.Float(metadata=described("How long the oldest of that has waited."))
    running = fields.Integer(metadata=described("How much runs."))
    workers = fields.Integer(metadata=described("Worker processes that are alive."))
    worker_threads = fields.Integer(metadata=described("How much they can run at a time."))
    wanted_workers = fields.Integer(
        metadata=described("How many would run all of it at once; never more than `maxWorkers`.")
    )
    max_workers = fields.Integer(
        allow_none=True, metadata=described("How many there may be; null: any number.")
    )


class QueuesSchema(CamelSchema):
    """All queues."""

    content = fields.List(fields.Nested(QueueSchema), metadata=described("Each of them."))
