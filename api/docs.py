"""/docs: Swagger UI with assets from a wheel, so that it works without the internet.

The document that it shows, /openapi.json, is made when it is first asked for: it would take a sixth
of the time in which the API starts.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

PATH = "/docs"
DOCUMENT = "/openapi.json"
ASSETS = f"{PATH}/assets"


def docs_routes(title: str, document: Callable[[], Mapping[str, Any]]) -> Sequence[BaseRoute]:
    """The page, its assets, and the OpenAPI document."""

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(document())

    making = asyncio.Lock()  # `cache` lets several make it at the same time

    async def as_json(_: Request) -> Response:
        async with making:
            # In a thread: other requests are served meanwhile.
            content = await asyncio.to_thread(encoded)
        return Response(content, media_type="application/json")

    async def page(_: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url=DOCUMENT,
            title=title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            swagger_ui_parameters={
                "docExpansion": "none",  # 60 operations: first the groups and what they are for
                "filter": True,
                "validatorUrl": None,  # the default is a service on the internet
            },
        )

    return [
        Mount(ASSETS, StaticFiles(directory=_assets())),
        Route(PATH, page),
        Route(DOCUMENT, as_json),
    ]


def _assets() -> Path:
    """Where the wheel has its JavaScript; the package itself is not imported."""
    found = importlib.util.find_spec("fastapi_offline")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"
