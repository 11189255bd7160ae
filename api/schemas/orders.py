"""What may be asked of a batch: its orders, with its items in the body or in a file."""

from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from api.schemas.schedules import approval_policy, approval_wait_seconds, message
from shared.fields import (
    CamelSchema,
    amount,
    described,
    flag,
    instant,
    json_object,
    number,
    text,
)

LARGEST_BUDGET = Decimal(10_000_000)
LONGEST_TEMPLATE = 64 * 1024
# Of so many items it is said what is wrong with them.
_MOST_MISTAKES = 20


class OrdersSchema(CamelSchema):
    """What is to be done with the items of a batch."""

    name = text(200, "What people call it.", "Letters of March", required=True)
    agent_id = text(64, "Which agent to run.", "finance_agent", required=True)
    compute = text(64, "On which compute profile; by default `local`.", "spot-large")
    max_concurrency = number(
        1, 100_000, "How many items may run at once; null: any number.", allow_none=True
    )
    budget_usd = amount(
        Decimal("0.000001"),
        LARGEST_BUDGET,
        "What it may cost, in US dollars: once it has, it pauses.",
        allow_none=True,
    )
    timeout_seconds = number(
        1, 86_400, "How long an attempt may take; null: as long as its agent says.", allow_none=True
    )
    max_attempts = number(1, 20, "How often an item is started, at most.")
    retry_backoff_seconds = number(
        0, 86_400, "How long to wait after a failed attempt; doubles each time."
    )
    priority = number(0, 9, "Of batches on one compute profile, the highest go first.")
    approval_policy = approval_policy()
    approval_wait_seconds = approval_wait_seconds()
    deadline = instant("When what has not been done is dropped.", allow_none=True)
    notify_agent_id = text(
        64,
        "An agent that is run when the batch ends, stands still or has spent its budget; one of"
        " kind `http` is a signed webhook.",
        "ops_webhook",
        allow_none=True,
    )
    dry_run = flag("Only say what it would cost.", load_default=False)


class ItemSchema(CamelSchema):
    """One message of a batch."""

    key = fields.String(
        allow_none=True,
        validate=validate.Length(1, 255, error="Give a text of 1 to 255 characters."),
        error_messages={"invalid": "Give a text."},
        metadata=described("Its name in the batch, of your choosing.", "customer-17"),
    )
    message = message("What to tell the agent.", required=True)
    metadata = json_object("Anything worth keeping with it.", load_default=dict)


class _Items(fields.List[Any]):
    """The items of a batch. When as many are wrong as anybody would read, no more are looked at."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        items: list[Any] = []
        mistakes: dict[int, Any] = {}
        for index, each in enumerate(value):
            try:
                items.append(self.inner.deserialize(each))
            except ValidationError as error:
                mistakes[index] = error.messages
                if len(mistakes) == _MOST_MISTAKES:
                    break
        if mistakes:
            raise ValidationError(mistakes)
        return items


class NewBatchSchema(OrdersSchema):
    """A batch to be submitted, with all of its items."""

    items = _Items(
        fields.Nested(ItemSchema, error_messages={"null": "Give a JSON object."}),
        required=True,
        validate=validate.Length(1, error="Give at least one item."),
        error_messages={
            "required": "Must be given.",
            "null": "Must not be null.",
            "invalid": "Give a list of items.",
        },
        metadata=described("Its items, in order."),
    )

    @validates_schema
    def _keys_are_unique(self, data: dict[str, Any], **_: Any) -> None:
        seen: dict[str, int] = {}
        for index, item in enumerate(data["items"]):
            key = item.get("key")
            if key is not None and seen.setdefault(key, index) != index:
                says = f"It has the key of item {seen[key]}; keys are unique in a batch."
                raise ValidationError({"items": {index: {"key": [says]}}})

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> None:
        """Name each item that is wrong by its place."""
        mistakes = error.messages_dict
        if isinstance(mistakes.get("items"), dict):
            for index, of_item in mistakes.pop("items").items():
                named = of_item if isinstance(of_item, dict) else {"_schema": of_item}
                for name, says in named.items():
                    path = f"items.{index}" if name == "_schema" else f"items.{index}.{name}"
                    mistakes[path] = says


class UploadSchema(OrdersSchema):
    """A batch whose items are in a file, `items`: CSV or JSON Lines, sent after all other fields.

    What the file is, its name says (`.csv`, `.jsonl`, `.ndjson`), or else its content type.
    """

    template = text(
        LONGEST_TEMPLATE,
        "What to tell the agent, with `{{ column }}` for what each line has there; by default each"
        " line has a `message`. A `key` is its name, and all else becomes its metadata.",
        "Write a letter to {{ name }}.",
    )
    delimiter = fields.String(
        validate=validate.OneOf([",", ";", "\t", "|"], error="Give , ; | or a tab."),
        load_default=",",
        metadata=described("What stands between the columns of a CSV."),
    )


class UploadFormSchema(UploadSchema):
    """The form that an upload is; its file is read as it comes, and by no schema."""

    items = fields.Raw(
        required=True,
        metadata={
            "type": "string",
            "format": "binary",
            **described("The file; the last part of the form."),
        },
    )


class ResumedSchema(CamelSchema):
    """How to go on with a batch that pauses."""

    budget_usd = amount(
        Decimal("0.000001"),
        LARGEST_BUDGET,
        "What it may cost from now on, what it has cost included.",
        load_default=None,
    )
