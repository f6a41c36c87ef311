"""Scripts, styles and the chart library: their URLs name their content, so a browser keeps them.

/console/static/{version}/…     the console's own files; one version, because modules import
                                each other by relative URLs
/console/plotly/{version}/…     the chart library, from the wheel of plotly
"""

import asyncio
import gzip
import importlib.util
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
CHARTS = "plotly.min.js"

KEPT = "public, max-age=31536000, immutable"
ASKED_AGAIN = "no-cache"
"""For a page from before an upgrade, which asks for another version than there is."""

VERSION_CHARS = 12
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets:
    """Files of one folder, served below `/console/{name}/{version}`."""

    def __init__(self, name: str, files: Iterable[Path]) -> None:
        self._files = {file.name: file for file in sorted(files)}
        digest = sha256()
        for file in self._files.values():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        self.version = digest.hexdigest()[:VERSION_CHARS]
        self.url = f"/console/{name}/{self.version}"
        self.route = Route(f"/{name}/{{version}}/{{file}}", self._serve)
        self._compressed: dict[str, bytes] = {}

    async def _serve(self, request: Request) -> Response:
        file = self._files.get(request.path_params["file"])
        if file is None:
            return Response(status_code=404)
        is_current = request.path_params["version"] == self.version
        headers = {"cache-control": KEPT if is_current else ASKED_AGAIN, "vary": "accept-encoding"}
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            headers["content-encoding"] = "gzip"
            content = await self._in_gzip(file)
        else:
            content = await asyncio.to_thread(file.read_bytes)
        return Response(content, headers=headers, media_type=MEDIA_TYPES[file.suffix])

    async def _in_gzip(self, file: Path) -> bytes:
        """Compressed by the first request: the chart library takes a third of a second."""
        if (content := self._compressed.get(file.name)) is None:
            content = await asyncio.to_thread(lambda: gzip.compress(file.read_bytes(), mtime=0))
            self._compressed[file.name] = content
        return content


def _takes_gzip(accepted: str) -> bool:
    codings = [coding.replace(" ", "") for coding in accepted.split(",")]
    return any(coding == "gzip" or coding.startswith("gzip;q=0.") for coding in codings)


@cache
def own_assets() -> Assets:
    """The console's own files."""
    return Assets("static", STATIC.iterdir())


@cache
def chart_assets() -> Assets:
    """The chart library; the package itself is not imported."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return Assets("plotly", [Path(found.origin).parent / "package_data" / CHARTS])
