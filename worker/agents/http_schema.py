"""What an `http` agent can be told: which service, and how it is asked."""

import re
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from worker.agents import config

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Neither a space nor a backslash, which two readers of URLs seldom understand alike.
PLAIN_URL = re.compile(r"[!-\[\]-~]*")
RESERVED_HEADER = re.compile(
    "host|content-length|accept-encoding|idempotency-key|webhook-.*"
    "|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade",
    re.IGNORECASE,
)
# Encodings of text; Python has others that are a burden to decode, or no text at all.
CHARSET = re.compile("utf-?(8|16|32)|us-ascii|iso-8859|windows-125|gb|big5|shift_jis|euc-|koi8")
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 300.0


def whole_url(value: str) -> None:
    """Refuse what is not the URL of a service: `http` or `https`, and a host."""
    if not PLAIN_URL.fullmatch(value):
        raise ValidationError("Percent-encode what is not plain ASCII in the URL.")
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = None
    if not valid:
        raise ValidationError("Give a whole URL, as in https://agents.example.com/run.")
    if "@" in parts.netloc:
        raise ValidationError("Take the user name out of the URL: put it in `headers`.")


def _header_name(value: str) -> None:
    if not HEADER_NAME.fullmatch(value):
        raise ValidationError("Give a header's name, as in Authorization.")
    if RESERVED_HEADER.fullmatch(value):
        raise ValidationError("This header is set by the connection itself: leave it out.")


def _header_value(value: str) -> None:
    if not HEADER_VALUE.fullmatch(value):
        raise ValidationError("Give one line of Latin text; encode anything else.")


def headers() -> fields.Dict:
    """A field for the headers of a request, which may hold secrets."""
    return fields.Dict(
        keys=config.text(128, _header_name),
        values=config.text(8192, config.with_secrets, _header_value),
        load_default=dict,
        validate=validate.Length(max=50, error="Give at most 50 headers."),
        error_messages=config.says("Give an object of names and texts."),
    )


class HttpSchema(config.ConfigSchema):
    """Which service, and how it is asked."""

    url = config.text(
        2000, config.without_secrets, whole_url, required="Give the URL of the service to ask."
    )
    method = fields.String(
        load_default="POST", validate=validate.OneOf(("POST", "PUT"), error="Choose POST or PUT.")
    )
    headers = headers()
    signingSecret = fields.String(  # noqa: N815
        load_default=None,
        validate=validate.Regexp(
            r"[A-Za-z0-9_-]{1,128}\Z", error="Give the name of a secret, not the secret itself."
        ),
    )
    pollSeconds = config.number(  # noqa: N815
        fields.Float, SHORTEST_PAUSE, LONGEST_PAUSE, load_default=2.0
    )
