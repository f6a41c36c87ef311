"""Bearer tokens and what each may do. Tokens are kept as SHA-256 digests only.

read       sessions, commands, timelines; the status of calls; applications
command    that, and commands to calls
admin      that, and changes to call control applications
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
"""From the least to the most."""

BEARER = HTTPBearer(auto_error=False, description="A token of OFFHOOK_API_TOKENS")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose token it is. The name is told in the log, so it gives nothing of the token away."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Tokens:
    """The tokens that are let in."""

    def __init__(self, callers: dict[bytes, Caller]) -> None:
        self._callers = callers  # by SHA-256 of the token

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; the time this takes says nothing about the tokens."""
        digest = _digest(token)
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def allow(self, scope: Scope) -> Callable[..., Awaitable[Caller]]:
        """A dependency: the caller, or 401, or 403 if the scope is too small.

        Then 422 for a query parameter that the route does not have: every route with a token asks.
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
                    "The Authorization header is missing, or its bearer token is not known",
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
    """Tokens from `scope:token` each. Raises SettingInvalid, without telling a token."""
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


_EXPECTED = "a list of scope:token with commas between, each scope one of " + ", ".join(SCOPES)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
