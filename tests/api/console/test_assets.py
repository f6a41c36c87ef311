"""Scripts, styles and the chart library: a browser keeps each while its content is the same."""

import gzip
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from offhook.api.console.assets import CHARTS, STATIC, Assets, chart_assets, own_assets


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[own_assets().route, chart_assets().route])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        yield client


def below_console(url: str) -> str:
    return url.removeprefix("/console")


async def test_a_file_is_kept_for_a_year_and_sent_compressed(http: httpx.AsyncClient) -> None:
    url = below_console(own_assets().url)
    response = await http.get(f"{url}/live.js", headers={"accept-encoding": "gzip, br"})
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.content == (STATIC / "live.js").read_bytes()


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0"])
async def test_who_does_not_take_gzip_gets_the_file_as_it_is(
    http: httpx.AsyncClient, accepted: str
) -> None:
    url = below_console(own_assets().url)
    response = await http.get(f"{url}/console.css", headers={"accept-encoding": accepted})
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "accept-encoding"
    assert response.content == (STATIC / "console.css").read_bytes()


async def test_a_page_from_before_an_upgrade_gets_what_there_is_but_does_not_keep_it(
    http: httpx.AsyncClient,
) -> None:
    response = await http.get("/static/000000000000/live.js")
    assert response.headers["cache-control"] == "no-cache"
    assert response.content == (STATIC / "live.js").read_bytes()


async def test_what_is_no_asset_is_not_found(http: httpx.AsyncClient) -> None:
    for path in ("/static/x/assets.py", "/static/x/..%2fassets.py", "/plotly/x/live.js"):
        assert (await http.get(path)).status_code == 404


async def test_the_chart_library_is_a_third_of_its_size(http: httpx.AsyncClient) -> None:
    url = f"{below_console(chart_assets().url)}/{CHARTS}"
    async with http.stream("GET", url, headers={"accept-encoding": "gzip"}) as response:
        sent = b"".join([chunk async for chunk in response.aiter_raw()])
    assert len(sent) < len(gzip.decompress(sent)) / 3


def test_another_content_has_another_version(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    assert Assets("static", (tmp_path / "static").iterdir()).version == own_assets().version
    (tmp_path / "static" / "times.js").write_text("// changed")
    assert Assets("static", (tmp_path / "static").iterdir()).version != own_assets().version
