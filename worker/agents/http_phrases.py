"""The statuses of HTTP, in words."""

from http import HTTPStatus


def phrase(status: int) -> str:
    """What *status* means."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "something unheard of"
