import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from shared.states import ErrorCode
from worker.agents import signature
from worker.agents.protocol import AgentError

WHEN = datetime.fromtimestamp(1614265330.9, UTC)


def test_it_signs_the_published_example_as_everybody_does():
    headers = signature.headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        body=b'{"test": 2432232314}',
        now=WHEN,
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_without_the_prefix_is_the_key_itself():
    headers = signature.headers("plain words", message_id="id", body=b"body", now=WHEN)

    signed = f"id.{headers['webhook-timestamp']}.body".encode()
    digest = hmac.new(b"plain words", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_a_secret_that_is_not_what_it_claims_is_refused():
    with pytest.raises(AgentError, match="not base64") as raised:
        signature.headers("whsec_!!!", message_id="id", body=b"", now=WHEN)

    assert raised.value.code is ErrorCode.REJECTED
    assert "!!!" not in str(raised.value)
