"""Sessions."""

from marshmallow import fields

from api.schemas.pages import ListQuerySchema, sorted_by
from shared.fields import CamelSchema, described, instant, text, uuid
from shared.sessions import SESSIONS


class SessionSchema(CamelSchema):
    """A conversation of several runs."""

    id = uuid("Its id: the `sessionId` of its runs.")
    agent_id = fields.String(metadata=described("The agent that remembers it."))
    schedule_id = uuid("The schedule whose runs share it; null: it has none.", allow_none=True)
    turns = fields.Integer(metadata=described("How many runs have added to it."))
    size = fields.Integer(metadata=described("How long what is remembered is, in characters."))
    created_at = instant("When its first run ended.")
    updated_at = instant("When its latest run ended.")


class MessagesSchema(CamelSchema):
    """What was said in a session."""

    messages = fields.List(
        fields.Dict(),
        metadata=described(
            "In order, as its kind keeps them: `llm` as pydantic-ai writes messages. What is no"
            " list is one message with a `text`."
        ),
    )


class SessionQuerySchema(ListQuerySchema):
    """Which sessions."""

    listing = SESSIONS

    sort = sorted_by(SESSIONS)
    agent_id = text(64, "Only those of this agent.")
    schedule_id = uuid("Only that of this schedule.")
