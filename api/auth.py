"""Bearer tokens and what each may do. Only SHA-256 digests of tokens are kept.

read       sessions, commands, timelines; the status of calls; applications
command    the same, and commands to calls
admin      the same, changes to call control applications, and retries of parked sessions
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from offhook.api.errors import refusal
from offhook.api.query_parameters import require_known
from offhook.errors import SettingInvalid

Scope = Literal["read", "command", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""From the smallest to the largest."""

BEARER = HTTPBearer(auto_error=False, description="A token of OFFHOOK_API_TOKENS")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sends a request. `name` is stored in the log, so it reveals nothing of the token."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Whether the token's scope includes this one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Tokens:
    """The tokens that the API accepts."""

    def __init__(self, callers: dict[bytes, Caller]) -> None:
        self._callers = callers  # by SHA-256 of the token

    def caller(self, token: str) -> Caller | None:
        """The caller with this token; the time this takes reveals nothing about the tokens."""
        digest = _digest(token)
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def allow(self, scope: Scope) -> Callable[..., Awaitable[Caller]]:
        """A dependency: the caller, or 401, or 403 if the scope is too small.

        It also refuses query parameters that the route does not have, with 422: every route that
        needs a token gets that check.
        """

        async def allowed(
            request: Request,
            credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
        ) -> Caller:
            caller = self.caller(credentials.credentials) if credentials is not None else None
            if caller is None:
                raise refusal(
                    401,
                    "10009",
                    "The Authorization header is missing, or its bearer token is unknown",
                    headers={"www-authenticate": "Bearer"},
                )
            if not caller.may(scope):
                raise refusal(
                    403,
                    "10010",
                    f"This token has the scope {caller.scope!r}; {scope!r} is needed here",
                )
            require_known(request)
            return caller

        return allowed


def tokens_from(texts: Sequence[str]) -> Tokens:
    """Tokens from texts `scope:token`. Raises SettingInvalid, which shows no token."""
    if not texts:
        raise SettingInvalid(f"OFFHOOK_API_TOKENS is not set; expected {_EXPECTED}")
    callers: dict[bytes, Caller] = {}
    for place, text in enumerate(texts, start=1):
        written, colon, token = text.partition(":")
        scope = next((each for each in SCOPES if each == written), None)
        if scope is None or not colon or not token:
            raise SettingInvalid(
                f"OFFHOOK_API_TOKENS: entry {place} is wrong; expected {_EXPECTED}"
            )
        digest = _digest(token)
        callers[digest] = Caller(name=f"{scope}-{digest.hex()[:8]}", scope=scope)
    return Tokens(callers)


_EXPECTED = "a comma-separated list of scope:token, each scope one of " + ", ".join(SCOPES)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
