"""Agents."""

from typing import Any

from marshmallow import ValidationError, fields, pre_load, validate, validates

from api.schemas.pages import ListQuerySchema, searched, sorted_by
from shared import kinds
from shared.agents import AGENTS
from shared.errors import Invalid
from shared.fields import (
    CamelSchema,
    choice,
    described,
    flag,
    instant,
    json_object,
    number,
    slug,
    text,
    without,
)
from shared.states import CheckStatus


class AgentFieldsSchema(CamelSchema):
    """What can be written of an agent."""

    name = text(200, "What people call it.", "Finance agent", required=True)
    description = fields.String(
        validate=validate.Length(max=10_000, error="Give at most 10,000 characters."),
        metadata=described("What it is for."),
    )
    kind = text(64, "What it is: `echo`, `http`, `command`, `python` …", "echo", required=True)
    config = json_object("What its kind wants to know; a secret is written as `${secret:NAME}`.")
    enabled = flag("Whether it may be run.")
    timeout_seconds = number(1, 86_400, "How long an attempt may take, unless a schedule says.")
    max_concurrency = number(
        1, 10_000, "How many of its runs may go on at once; null: any number.", allow_none=True
    )

    @validates("kind")
    def _is_a_kind(self, value: str, **_: Any) -> None:
        try:
            kinds.get(value)
        except Invalid as error:
            raise ValidationError(error.fields["kind"]) from None


class NewAgentSchema(AgentFieldsSchema):
    """An agent to be made."""

    id = slug("Its id, of its maker's choosing.", "finance_agent", required=True)


class ReplacedAgentSchema(AgentFieldsSchema):
    """An agent to be replaced. What is not named stays as it is.

    What cannot be written may be sent back, and is ignored.
    """

    id = slug("Its id, which stays.", "finance_agent")

    @pre_load
    def _without_what_is_read_only(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return without(READ_ONLY, data)


class FindingSchema(CamelSchema):
    """What a check has found of one thing that an agent needs."""

    name = fields.String(metadata=described("What was looked at.", "model"))
    status = choice(CheckStatus, "How it is.")
    message = fields.String(
        metadata=described(
            "A sentence, with the cure where not all is well.",
            "https://api.openai.com knows the model gpt-5-mini.",
        )
    )


class AgentCheckSchema(CamelSchema):
    """What the latest check of an agent came to."""

    status = choice(CheckStatus, "The worst of its findings. With `FAILED`, a run would fail.")
    checked_at = instant("When that was.")
    findings = fields.List(
        fields.Nested(FindingSchema), metadata=described("All it found, the worst first.")
    )


class AgentSchema(NewAgentSchema):
    """Something that can be run."""

    version = fields.Integer(metadata=described("How often it was saved; its `ETag`."))
    created_at = instant("When it was made.")
    updated_at = instant("When it was last saved.")
    check = fields.Nested(
        AgentCheckSchema,
        allow_none=True,
        metadata=described(
            "What its latest check came to; null: it was not checked since it was saved."
        ),
    )

    class Meta:
        fields = (
            *("id", "name", "description", "kind", "config", "enabled", "timeout_seconds"),
            *("max_concurrency", "check", "created_at", "updated_at", "version"),
        )


READ_ONLY = frozenset({"version", "createdAt", "updatedAt", "check"})


class AgentQuerySchema(ListQuerySchema):
    """Which agents."""

    listing = AGENTS

    sort = sorted_by(AGENTS)
    enabled = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        error_messages={"invalid": "Give true or false."},
        metadata=described("Only those that may be run, or only those that may not."),
    )
    kind = text(64, "Only those of this kind.")
    q = searched("Only those whose name contains this.")
