"""JSON requests to a server that may hang, fail or babble: bounded in time, tries and bytes.

All clients of a process share one pool of connections, on one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.environments.deepsearch.config import ServerSettings
from pipelines.errors import EnvironmentFailure
from pipelines.passwords import without_passwords

if TYPE_CHECKING:
    from httpx import AsyncClient

A = TypeVar("A")
_MENDABLE = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that another try may mend
_AT_ONCE = 8  # requests under way of one call
_IDLE_S = 2.0  # a connection that was idle for longer is not used again: servers close theirs after five seconds or so


class _OfServer(EnvironmentFailure):
    """Names an address, which may hold a password: it is kept with the rollouts, and printed."""

    def __init__(self, text: str) -> None:
        super().__init__(without_passwords(text))


class ServerRefused(_OfServer):
    """The server answers, but not this request: another request may fare better."""


class ServerSilent(_OfServer):
    """The server cannot be reached, or does not answer in time."""


class JsonClient:
    """Posts JSON to ``url``. A hundred episodes do not wait a hundred times for one dead server: after a request whose
    tries were all in vain, the next ones get a single try until one succeeds, and for ``timeout_s`` after a silence none.
    """

    def __init__(self, url: str, settings: ServerSettings, remedy: str, headers: dict[str, str] | None = None) -> None:
        self.url, self._bounds, self._remedy, self._headers = url, settings, remedy, headers
        self._failing, self._silent_until = False, 0.0

    def post(self, payload: dict[str, Any], url: str | None = None) -> Any:
        """The answer's JSON.

        Raises:
            ServerSilent: unreachable or too slow, at every try.
            ServerRefused: an error status, more than ``max_bytes``, or no JSON, at every try that could mend it.
        """
        return _run(self._post(payload, url or self.url))

    def post_all(
        self, payloads: Sequence[dict[str, Any]], read: Callable[[Any], A], deadline: float | None = None
    ) -> list[A | EnvironmentFailure]:
        """What ``read`` makes of each answer, a few requests at a time. A request that failed, or whose answer ``read``
        refuses with an EnvironmentFailure, has that failure in its place. ``deadline`` (of ``time.monotonic``): no request
        begins after it; by default the time that one request may take."""
        return _run(self._post_all(payloads, read, deadline or time.monotonic() + self._bounds.patience_s))

    async def _post_all(
        self, payloads: Sequence[dict[str, Any]], read: Callable[[Any], A], deadline: float
    ) -> list[A | EnvironmentFailure]:
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(payload: dict[str, Any]) -> A | EnvironmentFailure:
            async with free:
                if time.monotonic() > deadline:
                    return ServerSilent(f"{self.url} was too slow for a whole round: {self._remedy}")
                try:
                    return read(await self._post(payload, self.url))
                except EnvironmentFailure as failure:
                    return failure

        return await asyncio.gather(*map(one, payloads))

    async def _post(self, payload: dict[str, Any], url: str) -> Any:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

        if time.monotonic() < self._silent_until:
            raise ServerSilent(f"{url} is silent: {self._remedy}")
        retrying = AsyncRetrying(
            stop=stop_after_attempt(1 if self._failing else self._bounds.retries + 1),
            wait=wait_exponential(multiplier=self._bounds.backoff_s),
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and error.mendable),
            reraise=True,
        )
        try:
            answer: Any = await retrying(self._once, url, payload)
        except _Failed as failed:
            raise self._given_up(url, failed, retrying.statistics["attempt_number"]) from None
        self._failing = False
        return answer

    def _given_up(self, url: str, failed: _Failed, tries: int) -> EnvironmentFailure:
        self._failing = self._failing or failed.mendable
        if failed.silent:
            self._silent_until = time.monotonic() + self._bounds.timeout_s
        words = f"{url} {failed.what}{f' ({tries} tries)' if tries > 1 else ''}: {self._remedy}"
        return ServerSilent(words) if failed.silent else ServerRefused(words)

    async def _once(self, url: str, payload: dict[str, Any]) -> Any:
        import httpx

        try:
            status, content = await self._answer(url, payload)
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
        most, parts, size = self._bounds.max_bytes, list[bytes](), 0
        async with (
            asyncio.timeout(self._bounds.timeout_s),
            _pool().stream("POST", url, json=payload, headers=self._headers) as response,
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


def _run(work: Coroutine[Any, Any, A]) -> A:
    """Wait for it on the process' loop."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="deepsearch-requests", daemon=True).start()
    return loop


@cache
def _pool() -> AsyncClient:
    """The process' connections. Neither proxies nor certificates of the environment bear on them."""
    import httpx

    limits = httpx.Limits(keepalive_expiry=_IDLE_S)
    return httpx.AsyncClient(
        timeout=None, verify=httpx.create_ssl_context(trust_env=False), trust_env=False, limits=limits
    )
