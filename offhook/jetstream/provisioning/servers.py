"""What each NATS server reports on its monitoring endpoint, and which servers are refused.

The log relies on these features of nats-server; the newest of them decides:

    since   feature                              without it
    2.11    direct get of a batch                no session can be read
    2.12    scheduled messages                   no timer ever fires
    2.14    reset of a consumer                  the projector cannot resume
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from offhook.errors import LogUnavailable, LogUnsafe, shown_url

VERSION_MIN = (2, 14, 0)

TIMEOUT_S = 5.0
CONNECTIONS_MAX = 65_536


@dataclass(frozen=True, kw_only=True)
class ServerReport:
    """One server's answer. If there was none, `silent` says why, and nothing else is known."""

    url: str
    silent: str = ""
    name: str = ""
    version: str = ""
    max_payload: int = 0  # bytes of one message, headers included
    jetstream: bool = True  # off after a full disk, until it is restarted
    sync_always: bool = True  # flushes a write before it acknowledges it
    stored_bytes: int = 0  # by all accounts together
    stored_bytes_max: int = 0  # max_file_store; by default 75 % of what was free at its start
    unhealthy: str = ""  # in its own words

    @property
    def is_full(self) -> bool:
        """Whether its store is over its limit."""
        return self.jetstream and 0 < self.stored_bytes_max < self.stored_bytes

    @property
    def cannot_write(self) -> "Refusal | None":
        """Why its JetStream takes no writes; None if it takes them, as far as it reports."""
        if self.silent:
            return None
        where = shown_url(self.url)
        if not self.jetstream:
            return Refusal(found=f"JetStream is off on the NATS server at {where}", fix=_RESTART)
        if self.is_full:
            return Refusal(
                found=f"the store of the NATS server at {where} is full: "
                f"{self.stored_bytes:,} of {self.stored_bytes_max:,} bytes",
                fix="give it more room, or raise `max_file_store`, then restart it",
            )
        if "write error" in self.unhealthy:
            said = f"the NATS server at {where} says: {self.unhealthy}"
            return Refusal(found=said, fix=_RESTART)
        return None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What is wrong, and what to do about it."""

    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.found}; {self.fix}"


# Seen on 2.15.1: 142 s after space was freed it still refused every write.
_RESTART = "free space on its disk, then restart it: it does not recover by itself"


async def ask_servers(
    monitor_urls: Sequence[str], timeout_s: float = TIMEOUT_S
) -> list[ServerReport]:
    """The servers' answers, in the order of the addresses. Raises LogUnsafe without an address."""
    if not monitor_urls:
        raise LogUnsafe("OFFHOOK_NATS_MONITOR_URLS is empty: no server can be checked")
    async with httpx.AsyncClient(timeout=timeout_s, verify=_tls()) as http:
        return list(await asyncio.gather(*(_ask(http, url) for url in monitor_urls)))


async def require_safe_servers(monitor_urls: Sequence[str], payload_bytes: int) -> None:
    """Raise LogUnsafe if a server that answers may not carry the log.

    A node of a cluster may be down while the services run: LogUnavailable is raised only if none
    answers. `payload_bytes` is the size of the largest record with its headers.
    """
    servers = await ask_servers(monitor_urls)
    refuse_unsafe(servers, payload_bytes)
    if all(server.silent for server in servers):
        raise LogUnavailable(servers[0].silent)


def refuse_unsafe(servers: Sequence[ServerReport], payload_bytes: int) -> None:
    """Raise LogUnsafe if one of them may not carry the log."""
    for server in servers:
        if why := unsafe(server, payload_bytes):
            raise LogUnsafe(str(why))


def unsafe(server: ServerReport, payload_bytes: int) -> Refusal | None:
    """Why this server may not carry the log; None if it may, or does not answer."""
    if server.silent:
        return None
    return too_old(server) or payload_too_small(server, payload_bytes) or loses_writes(server)


def too_old(server: ServerReport) -> Refusal | None:
    """Why its version is refused; None if it is not."""
    parts = re.match(r"(\d+)\.(\d+)\.(\d+)", server.version)
    if parts and tuple(map(int, parts.groups())) >= VERSION_MIN:
        return None
    found = f"the NATS server at {shown_url(server.url)} is version {server.version or 'unknown'}"
    needed = ".".join(map(str, VERSION_MIN))
    fix = f"upgrade it to {needed} or later: timers need 2.12, the projector needs 2.14"
    return Refusal(found=found, fix=fix)


def payload_too_small(server: ServerReport, payload_bytes: int) -> Refusal | None:
    """Why its `max_payload` is refused; None if a record of `payload_bytes` fits."""
    if server.max_payload >= payload_bytes:
        return None
    found = (
        f"max_payload of the NATS server at {shown_url(server.url)} is {server.max_payload} bytes"
    )
    fix = f"set `max_payload` to at least {payload_bytes}, the largest record with its headers"
    return Refusal(found=found, fix=fix)


def loses_writes(server: ServerReport) -> Refusal | None:
    """Why its `sync_interval` is refused; None if it flushes before it acknowledges."""
    if server.sync_always or not server.jetstream:  # while it is off, the setting is not shown
        return None
    found = f"the NATS server at {shown_url(server.url)} would lose acknowledged writes"
    return Refusal(found=found, fix="set `sync_interval: always` in its jetstream block")


async def require_nobody_connected(monitor_urls: Sequence[str]) -> None:
    """Raise LogUnsafe if a role is connected to a server, or a server does not say."""
    found: set[str] = set()
    async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=_tls()) as http:
        for url in monitor_urls:
            try:
                answer = await _get(http, url, "connz", limit=str(CONNECTIONS_MAX))
            except (httpx.HTTPError, ValueError) as error:
                raise LogUnsafe(
                    f"no NATS monitoring answers at {shown_url(url)}, so who is connected is "
                    f"unknown: {error!r}; start every node of the log first"
                ) from error
            found |= {str(each.get("name", "")) for each in answer.get("connections") or ()}
    roles = sorted(name for name in found if name.startswith("offhook-") and name != _OWN_NAME)
    if roles:
        raise LogUnsafe(f"{', '.join(roles)} still connected to the log: stop every role first")


_OWN_NAME = "offhook-provision"


@cache
def _tls() -> ssl.SSLContext:
    """One for all: making it stops the loop for 20 to 40 ms, and readiness is asked all day."""
    return httpx.create_ssl_context()


async def _ask(http: httpx.AsyncClient, url: str) -> ServerReport:
    try:
        general, stored, health = await asyncio.gather(
            _get(http, url, "varz"),
            # Only here a server says that JetStream was turned off; `varz` shows what it was.
            _get(http, url, "jsz", config="true"),
            _get(http, url, "healthz"),
        )
        config = stored.get("config") or {}
        return ServerReport(
            url=url,
            name=str(general.get("server_name", "")),
            version=str(general.get("version", "")),
            max_payload=int(general.get("max_payload", 0)),
            jetstream=not stored.get("disabled"),
            sync_always=config.get("sync_always") is True,
            stored_bytes=int(stored.get("storage", 0)),
            stored_bytes_max=int(config.get("max_storage", 0)),
            unhealthy="" if health.get("status") == "ok" else str(health.get("error") or health),
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError) as error:
        return ServerReport(
            url=url, silent=f"no NATS monitoring answers at {shown_url(url)}: {error!r}"
        )


async def _get(http: httpx.AsyncClient, url: str, path: str, **params: str) -> Mapping[str, Any]:
    """The answer's object, whatever its status. Raises httpx.HTTPError or ValueError."""
    answer = (await http.get(f"{url}/{path}", params=params)).json()
    if not isinstance(answer, dict):
        raise ValueError(f"/{path} is no JSON object")
    return answer
