"""The address that the api will listen on: whether it is free, whether it answers."""

import errno
import os
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

import click

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True)
class Address:
    """A host and port of this machine."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """How a browser on this machine says it."""
        return f"http://{_bracketed(self._reachable)}:{self.port}"

    @property
    def socket(self) -> str:
        """How gunicorn says it."""
        return f"{_bracketed(self.host)}:{self.port}"

    def check_free(self) -> None:
        """Raise a sentence that says what to do if nothing can listen there."""
        try:
            family, *_, address = socket.getaddrinfo(
                self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            socket.create_server(address[:2], family=family).close()
        except OSError as error:
            raise click.ClickException(self._sentence(error)) from None

    def answers(self) -> bool:
        """Whether an api answers there."""
        connection = HTTPConnection(self._reachable, self.port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    @property
    def _reachable(self) -> str:
        return ANYWHERE.get(self.host, self.host)

    def _sentence(self, error: OSError) -> str:
        match error.errno:
            case errno.EADDRINUSE:
                return (
                    f"Port {self.port} on {self.host} is in use by another program;"
                    " choose another with --port."
                )
            case errno.EACCES:
                return (
                    f"No right to listen on port {self.port} of {self.host};"
                    " choose one above 1023 with --port."
                )
        # A failed look-up brings its own numbers; a failed bind, words that repeat the address.
        reason = (
            error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        )
        return (
            f"Nothing can listen on {self.host}: {reason}."
            " Name an address of this machine with --host."
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
