"""The address of a server as the user writes it, and the key that it needs.

    http://localhost:8000/v1            the server's only model
    http://localhost:8000/v1#my-model   one of several models

Data is sent only to a URL that the user gave. The API key, if needed, is in the environment
variable UPBRING_ENDPOINT_KEY; it is sent to that server only.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from upbring.errors import InputError

API_KEY_VARIABLE = "UPBRING_ENDPOINT_KEY"
DECISION_PATH = "/systemone"  # of a server for typed decisions


@dataclass(frozen=True, slots=True)
class Address:
    """The base URL of a server, without a slash at its end, and the name of a model on it."""

    base: str
    model: str

    @property
    def is_decision_server(self) -> bool:
        """Whether the URL is that of typed decisions, `/v1/systemone`."""
        return self.base.endswith(DECISION_PATH)

    @property
    def text(self) -> str:
        """The address as the user writes it."""
        return f"{self.base}#{self.model}" if self.model != "default" else self.base


def is_url(name: str) -> bool:
    """Return whether a model name is the URL of a server."""
    return urlsplit(name).scheme in {"http", "https"}


def parse_address(url: str) -> Address:
    """Return the parts of a URL.

    >>> parse_address("http://localhost:8000/v1/#my-model")
    Address(base='http://localhost:8000/v1', model='my-model')
    """
    parts = urlsplit(url)
    if parts.username is not None:
        raise InputError(
            f"{parts._replace(netloc=parts.hostname or '').geturl()}: the URL contains a user name "
            f"or password; remove it, and set the environment variable {API_KEY_VARIABLE}"
        )
    base = parts._replace(fragment="").geturl().rstrip("/")
    return Address(base, parts.fragment or "default")


def api_key() -> str | None:
    """Return the API key of the environment, or None."""
    return os.environ.get(API_KEY_VARIABLE) or None
