"""/docs: every parameter is described, and every example is accepted."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from offhook.api.docs import DOCUMENT, docs_routes
from offhook.api.openapi import PARAMETERS
from offhook.api.telnyx.requests import request_from
from offhook.api.telnyx.schemas import documented_body, example_of, readable
from offhook.commands import COMMANDS
from tests.api.stack import Stack


@pytest.fixture
async def document(stack: Stack) -> Mapping[str, Any]:
    """/openapi.json of a running API."""
    async with stack.http(token=None) as http:
        found: dict[str, Any] = (await http.get("/openapi.json")).json()
    return found


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", operation


async def test_every_parameter_is_described(document: Mapping[str, Any]) -> None:
    names: set[str] = set()
    undescribed: list[str] = []
    for place, operation in operations_of(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        parameters = {each["name"]: each for each in operation.get("parameters", ())}
        fields = body.get("schema", {}).get("properties", {})
        names |= parameters.keys()
        undescribed += [
            f"{place}: {name}"
            for name, each in [*parameters.items(), *fields.items()]
            if not each.get("description")
        ]
    assert undescribed == []
    assert names >= PARAMETERS.keys()


async def test_every_operation_has_a_name_of_its_own(document: Mapping[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations_of(document)]
    assert len(ids) == len(set(ids))
    assert set(ids) >= set(COMMANDS)


async def test_the_document_is_made_once_however_many_ask_for_it_first() -> None:
    made: list[int] = []

    def make() -> Mapping[str, Any]:
        made.append(1)
        time.sleep(0.05)  # in a thread; all the others ask meanwhile
        return {"number": len(made)}

    app = Starlette(routes=docs_routes("Offhook", make))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://offhook"
    ) as http:
        answers = await asyncio.gather(*(http.get(DOCUMENT) for _ in range(12)))
    assert [answer.json() for answer in answers] == [{"number": 1}] * 12
    assert len(made) == 1


@pytest.mark.parametrize("operation", COMMANDS)
def test_examples_are_accepted(operation: str) -> None:
    assert documented_body(operation)["content"]["application/json"]["example"]
    leg = None if operation == "dial" else "v3:the-leg"
    request_from(operation, leg, json.dumps(example_of(operation)).encode())


def test_names_are_words() -> None:
    assert readable("send_sip_info") == "Send SIP info"
    assert readable("ai_assistant_start") == "AI assistant start"
