"""What makes a repeated request harmless: a key of the client's choosing."""

import hashlib
from dataclasses import dataclass

from shared.errors import Invalid

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's key, and the hash of the request that it came with.

    As in the IETF draft of the `Idempotency-Key` header: the same key with the same request gives
    the first answer again, and with another request it is an error.
    """

    key: str
    request_hash: str

    @classmethod
    def of(cls, key: str, *request: bytes) -> "IdempotencyKey":
        """The key, for a request made of these parts. Raises `Invalid` on a key that is none."""
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MOST_CHARACTERS:
            raise Invalid(
                {
                    HEADER: [
                        f"Send 1 to {MOST_CHARACTERS} printable ASCII characters, or leave it out."
                    ]
                }
            )
        return cls(key, hashlib.sha256(b"\0".join(request)).hexdigest())

    def check(self, request_hash: str | None) -> None:
        """Raise `Invalid` unless the request first sent with this key was the same as this one."""
        if request_hash != self.request_hash:
            raise Invalid({HEADER: ["This key was used for another request; send a new one."]})
