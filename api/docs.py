"""/docs: Swagger UI with assets from a wheel, so that it works without the internet."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

PATH = "/docs"
ASSETS = f"{PATH}/assets"


def docs_routes(title: str, openapi_url: str) -> Sequence[BaseRoute]:
    """The page and its assets."""

    async def page(_: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url=openapi_url,
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

    return [Mount(ASSETS, StaticFiles(directory=_assets())), Route(PATH, page)]


def _assets() -> Path:
    """Where the wheel has its JavaScript; the package itself is not imported."""
    found = importlib.util.find_spec("fastapi_offline")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"
