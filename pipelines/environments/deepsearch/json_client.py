"""JSON requests to a server that may hang, fail or babble: bounded in time, tries and bytes."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from pipelines.errors import EnvironmentFailure

_MENDABLE = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that another try may mend


class ServerRefused(EnvironmentFailure):
    """The server answers, but not this request: another request may fare better."""


class ServerSilent(EnvironmentFailure):
    """The server cannot be reached, or does not answer in time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request: ``timeout_s`` a try, from its start to the answer's last byte; ``retries`` further tries,
    ``backoff_s`` before the first of them and twice as long before each next; ``max_bytes`` of an answer."""

    timeout_s: float
    retries: int
    backoff_s: float
    max_bytes: int

    @property
    def patience_s(self) -> float:
        """The longest that a request can take."""
        return self.timeout_s * (self.retries + 1) + self.backoff_s * (2.0**self.retries - 1.0)


class JsonClient:
    """Posts JSON to ``url``. A hundred episodes do not wait a hundred times for one dead server: after a request whose
    tries were all in vain, the next ones get a single try until one succeeds, and for ``timeout_s`` after a silence none.
    """

    def __init__(self, url: str, bounds: Bounds, remedy: str, headers: dict[str, str] | None = None) -> None:
        import httpx

        self.url, self._bounds, self._remedy = url, bounds, remedy
        self._failing, self._silent_until = False, 0.0
        tls = httpx.create_ssl_context(trust_env=False)
        self._settings: dict[str, Any] = {"headers": headers, "verify": tls, "trust_env": False}

    def post(self, payload: dict[str, Any], url: str | None = None) -> Any:
        """The answer's JSON.

        Raises:
            ServerSilent: unreachable or too slow, at every try.
            ServerRefused: an error status, more than ``max_bytes``, or no JSON, at every try that could mend it.
        """
        url, wait = url or self.url, self._bounds.backoff_s
        if time.monotonic() < self._silent_until:
            raise ServerSilent(f"{url} is silent: {self._remedy}")
        tries = 1 if self._failing else self._bounds.retries + 1
        for number in range(1, tries + 1):
            try:
                answer = self._once(url, payload)
            except _Failed as failed:
                if failed.mendable and number < tries:
                    time.sleep(wait)
                    wait *= 2
                    continue
                raise self._given_up(url, failed, number) from None
            self._failing = False
            return answer
        raise AssertionError  # the last try returns or raises

    def _given_up(self, url: str, failed: _Failed, tries: int) -> EnvironmentFailure:
        self._failing = self._failing or failed.mendable
        if failed.silent:
            self._silent_until = time.monotonic() + self._bounds.timeout_s
        words = f"{url} {failed.what}{f' ({tries} tries)' if tries > 1 else ''}: {self._remedy}"
        return ServerSilent(words) if failed.silent else ServerRefused(words)

    def _once(self, url: str, payload: dict[str, Any]) -> Any:
        import httpx

        try:
            status, content = asyncio.run(self._answer(url, payload))
        except TimeoutError:
            raise _Failed(f"did not answer within {self._bounds.timeout_s:g} s", silent=True) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise _Failed(f"is no address of a server ({error})", silent=True, mendable=False) from None
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise _Failed(f"cannot be reached ({words})", silent=True) from None
        if status != 200:
            what = f"answered {status} {_start(content)}".rstrip()
            raise _Failed(what, mendable=status in _MENDABLE)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise _Failed(f"answered what is no JSON: {_start(content)}") from None

    async def _answer(self, url: str, payload: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body. httpx bounds every read, of which a server that drips has no end; the clock here bounds all
        of them: raises TimeoutError."""
        import httpx

        most, parts, size = self._bounds.max_bytes, list[bytes](), 0
        async with (
            asyncio.timeout(self._bounds.timeout_s),
            httpx.AsyncClient(timeout=None, **self._settings) as client,
            client.stream("POST", url, json=payload) as response,
        ):
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise _Failed(f"answered more than {most} bytes", mendable=False)
        return response.status_code, b"".join(parts)


class _Failed(Exception):
    """One try. ``mendable``: another may succeed; ``silent``: nobody is there."""

    def __init__(self, what: str, *, silent: bool = False, mendable: bool = True) -> None:
        super().__init__(what)
        self.what, self.silent, self.mendable = what, silent, mendable


def _start(content: bytes) -> str:
    text = " ".join(content[:200].decode(errors="replace").split())
    return repr(text[:80]) if text else ""
