"""The exception that becomes an error response."""

from collections.abc import Mapping
from typing import Any

from offhook.errors import SenderFault


class CarrierError(SenderFault):
    """An error response to a request.

    `pointer` is the JSON pointer into the request's body, `parameter` the name in its query, of
    what is wrong; at most one of them is given.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}/{code} {title}: {detail}")
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        error: dict[str, Any] = {"code": code, "title": title, "detail": detail}
        if pointer is not None:
            error["source"] = {"pointer": pointer}
        elif parameter is not None:
            error["source"] = {"parameter": parameter}
        self.body = {"errors": [error]}
