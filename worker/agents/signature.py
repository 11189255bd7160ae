"""Signing a request as Standard Webhooks 1.0 says, so that its receiver can tell it is ours."""

import base64
import binascii
import hmac
from datetime import datetime

from shared.states import ErrorCode
from worker.agents.protocol import AgentError

PREFIX = "whsec_"


def headers(secret: str, *, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that vouch for *body*: who receives it again knows it by *message_id*."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.digest(_key(secret), signed, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise AgentError(
            f"The signing secret begins with {PREFIX}, but is not base64 after it.",
            code=ErrorCode.REJECTED,
        ) from None
