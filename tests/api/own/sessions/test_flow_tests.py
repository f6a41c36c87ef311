"""A session copied as a test of its flow: saved as a file, pytest runs it."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.api.imported import imported, received
from tests.api.stack import READER, ROOT, Stack

CHANGED = """
from dataclasses import replace

from examples.reception import reception as original
from offhook import Transfer


def decide(event, session):
    orders = original.decide(event, session)
    return [
        replace(each, to="+12025550129") if isinstance(each, Transfer) else each for each in orders
    ]


reception = replace(original, decide=decide)
"""


async def test_the_file_passes_with_the_flow_and_fails_with_a_changed_one(
    stack: Stack, tmp_path: Path
) -> None:
    session_id = await imported(stack, received("flow test", "1"))
    async with stack.http(READER) as http:
        path = f"/sessions/{session_id}/flow-test"
        reply = await http.get(path, params={"flow": "examples.reception:reception"})
        other = await http.get(path, params={"flow": "changed:reception"})
    assert reply.headers["content-type"] == "text/x-python; charset=utf-8"
    name = re.fullmatch(
        r'inline; filename="(test_reception_\w{8}\.py)"', reply.headers["content-disposition"]
    )
    assert name is not None
    (tmp_path / name[1]).write_text(reply.text, encoding="utf-8")
    (tmp_path / "test_other.py").write_text(other.text, encoding="utf-8")
    (tmp_path / "changed.py").write_text(CHANGED, encoding="utf-8")
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "-rpf", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    passed = set(re.findall(r"^PASSED (\S+)", ran.stdout, re.MULTILINE))
    failed = set(re.findall(r"^FAILED (\S+)", ran.stdout, re.MULTILINE))
    tests = re.findall(r"^def (test_\w+)", reply.text, re.MULTILINE)
    assert {each for each in passed if each.startswith(name[1])} == {
        f"{name[1]}::{each}" for each in tests
    }, ran.stdout
    assert len(failed) == 1, ran.stdout
    assert "+12025550129" in ran.stdout


async def test_a_copy_ends_where_it_is_asked_to(stack: Stack) -> None:
    records = received("flow test as of", "1")
    session_id = await imported(stack, records)
    async with stack.http(READER) as http:
        timeline = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
        path = f"/sessions/{session_id}/flow-test"
        early = await http.get(path, params={"as_of": timeline[1]["seq"]})
        nothing = await http.get(path, params={"as_of": timeline[0]["seq"]})
        wrong = [
            await http.get(path, params={"flow": each})
            for each in ("os; import sys", "shop.class:it")
        ]
    assert early.text.count("def test_") == 1
    assert "from flows import reception as flow" in early.text
    assert nothing.status_code == 404
    assert [each.status_code for each in wrong] == [422, 422]
    assert wrong[0].json()["errors"][0]["source"] == {"parameter": "flow"}
