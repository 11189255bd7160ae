"""Costs: what runs have used up."""

from marshmallow import fields

from api.schemas.pages import ListQuerySchema, page_of, page_size
from shared.costs import GroupBy
from shared.fields import CamelSchema, choice, described, instant, text, uuid
from shared.pages import LARGEST_SIZE
from shared.time_range import LONGEST


class SumsSchema(CamelSchema):
    """What some runs have used up. Each sum is of what is known; null: nothing is."""

    runs = fields.Integer(
        metadata=described("How many ended then, of those that ever started; items of batches too.")
    )
    input_tokens = fields.Integer(allow_none=True, metadata=described("Tokens read by models."))
    output_tokens = fields.Integer(allow_none=True, metadata=described("Tokens written by models."))
    total_tokens = fields.Integer(allow_none=True, metadata=described("Both together."))
    cost_usd = fields.Float(
        allow_none=True, metadata=described("What they cost by their agents' word, in US dollars.")
    )
    unpriced_runs = fields.Integer(
        metadata=described("How many ran a model or used tokens, and do not say what that cost.")
    )
    compute_usd = fields.Float(
        allow_none=True, metadata=described("What the time of items of batches cost on machines.")
    )


class GroupOfRunsSchema(SumsSchema):
    """What the runs of one schedule, agent, model or day have used up. It has the key of what was
    asked for: `scheduleId` and `name`, `agentId`, `model` or `day`."""

    schedule_id = uuid("The schedule; null: the runs are of none.", allow_none=True)
    name = fields.String(
        allow_none=True, metadata=described("What that is called, or was when it was deleted.")
    )
    agent_id = fields.String(metadata=described("The agent."))
    model = fields.String(
        allow_none=True, metadata=described("The model; null: the runs name none.")
    )
    day = fields.Date(metadata=described("The day in `timezone`.", "2027-01-31"))


# A page like any other, and more.
class CostsSchema(page_of(GroupOfRunsSchema)):  # type: ignore[misc]
    """What the runs that ended in a range of time have used up."""

    since = instant("From when on.", data_key="from")
    until = instant("Until when, which is no longer in it.", data_key="to")
    group_by = choice(GroupBy, "What they are added up by.", data_key="groupBy")
    timezone = fields.String(metadata=described("Whose clocks say what a day is.", "UTC"))
    total = fields.Nested(SumsSchema, metadata=described("All groups together, on any page."))


class CostQuerySchema(ListQuerySchema):
    """Which runs to add up, and by what."""

    size = page_size(LARGEST_SIZE)
    group_by = choice(GroupBy, "What to add them up by.", load_default=GroupBy.DAY)
    since = instant(
        "Only runs that ended then or later, at most"
        f" {LONGEST.days} days before `to`; by default, 30 days before it at midnight.",
        data_key="from",
        load_default=None,
    )
    until = instant(
        "Only runs that ended before; by default, now.", data_key="to", load_default=None
    )
    timezone = text(64, "The IANA zone in which days begin.", "Europe/Berlin", load_default="UTC")
    agent_id = text(64, "Only those of this agent.")
    schedule_id = uuid("Only those of this schedule.")
