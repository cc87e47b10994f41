"""One way to ask an outside system over HTTP: bounded, patient, and never led elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import stamina

from toolkit.errors import DataError, UsageError

__all__ = ["Site", "Unreachable"]

LARGEST = 64 * 2**20
ATTEMPTS, PATIENCE = 4, 20.0
LONGEST_WAIT = 10.0


class Unreachable(DataError):
    """The other side does not answer, or not with what was asked for."""


class Site:
    """An outside system at `url`. token: name of the environment variable that holds its bearer token, which is in no error and no log."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 10.0, attempts: int = ATTEMPTS) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"{url!r} is no address: write it like https://prometheus.example.")
        if parsed.userinfo:
            raise UsageError("The address carries a password: put it into an environment variable and name that (token = …).")
        secret = None
        if token is not None:
            secret = os.environ.get(token)
            if not secret:
                raise UsageError(f"The environment variable {token} is not set: it is to hold the token for {parsed.host}.")
        self._url, self._attempts = parsed, attempts
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {secret}"} if secret else {})}
        self._client = httpx.Client(timeout=timeout, headers=headers, follow_redirects=False)

    def close(self) -> None:
        """Let connections go."""
        self._client.close()

    def json(self, path: str, parameters: Mapping[str, str | int | float]) -> Any:
        """The answer as JSON. Network errors, 429 and 5xx are tried again, as long as Retry-After says or a little longer each time.

        Raises Unreachable that says what came instead; a redirect is never followed: it could carry the token elsewhere.
        """
        try:
            for attempt in stamina.retry_context(on=_again, attempts=self._attempts, timeout=PATIENCE, wait_initial=0.1, wait_max=2.0):
                with attempt:
                    return self._once(path, parameters)
        except httpx.HTTPStatusError as error:
            raise Unreachable(f"{self._url.host} answers {error.response.status_code}{_said(error.response)}.") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._url.host} cannot be reached ({type(error).__name__}). Check the address and the network.") from None
        raise AssertionError("a last attempt returns or raises")

    def _once(self, path: str, parameters: Mapping[str, str | int | float]) -> Any:
        address = self._url.join(f"{self._url.path.rstrip('/')}/{path.lstrip('/')}")
        with self._client.stream("POST", address, data=dict(parameters)) as response:
            if response.is_redirect:
                raise Unreachable(f"{self._url.host} answers with a redirect: set url to where it leads, if you trust that.")
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > LARGEST:
                    raise Unreachable(f"{self._url.host} answers with more than {LARGEST // 2**20} MB: ask for less.")
                parts.append(part)
            body = b"".join(parts)
            if response.is_error:
                error = httpx.HTTPStatusError("", request=response.request, response=response)
                response.extensions["said"] = body[:2000]
                raise error
        try:
            return json.loads(body)
        except ValueError:
            raise Unreachable(f"{self._url.host} answers with something that is no JSON, or only a part of it.") from None


def _again(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if isinstance(error, httpx.TransportError):
        return True
    if not isinstance(error, httpx.HTTPStatusError):
        return False
    status = error.response.status_code
    if status != httpx.codes.TOO_MANY_REQUESTS and status < httpx.codes.INTERNAL_SERVER_ERROR:
        return False
    return _asked(error.response.headers.get("Retry-After")) or True


def _asked(after: str | None) -> float | None:
    if after is None:
        return None
    if after.isdecimal():
        return min(float(after), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(after)
    except ValueError:
        return None
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT)


def _said(response: httpx.Response) -> str:
    """What the other side says of its error, if it says it as Prometheus does."""
    try:
        told = json.loads(response.extensions.get("said", b"")).get("error")
    except (ValueError, AttributeError):
        return ""
    return f": {str(told)[:300]}" if told else ""
