"""The sample flows over simulated calls, webhooks duplicated and late: all end as they say.

SAMPLE_CALLS is how many calls each flow gets; 500 take some minutes.
"""

import asyncio
import os
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.click_to_call import ClickToCall
from examples.notification import Notification
from offhook.cli.embedded.stack import CONNECTION_ID, Stack, with_free_ports
from offhook.flow.typed_client_state import client_state
from offhook.settings import Settings
from tests.whole.books import books_when_quiet, said, say, settled_verdict
from tests.whole.samples import CLICKS, LONG_RINGS, NOTICES

CALLS_EACH = int(os.environ.get("SAMPLE_CALLS", "40"))
LIVE_LEGS_MAX, BATCH_MAX, PAUSE_S = 120, 10, 0.1
FAULTS = 0.2
SPEED = 10
LOOK_S = 0.25
INSISTS = 4
PERSON, BUSY, SILENT = "+12025550121", "+12025550186", "+12025550188"
MACHINE, FAX = "+12025550171", "+12025550174"
PREMIUM = {"answering_machine_detection": "premium"}


Done = list[list[str]]
Legs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way that a call goes: who places it, and what is done to each leg, the first leg first.

    If `leaves` is given, the party of the first leg hangs up as soon as it holds for the call's
    legs: never at a time, which a slow machine would miss.
    """

    body: Mapping[str, Any]
    done: Done
    leaves: Callable[[Legs], bool] | None = None


def rings(keys_in: int, *done: list[str]) -> Kind:
    """Somebody calls the reception, and presses this key when asked."""
    body = {
        "from": f"+1202555016{keys_in}",
        "to": "+12025550101",
        "connection_id": CONNECTION_ID,
        "hangup_after_s": 2000,
        "patience_s": 2000,
    }
    return Kind(body=body, done=list(done))


def clicks(
    agent: str,
    customer: str,
    *done: list[str],
    leaves: Callable[[Legs], bool] | None = None,
    connection_id: str = CLICKS,
) -> Kind:
    """An application connects an agent with a customer."""
    state = client_state(ClickToCall(customer=customer))
    body = {"to": agent, "connection_id": connection_id, "client_state": state, **PREMIUM}
    return Kind(body=body, done=list(done), leaves=leaves)


def are_bridged(legs: Legs) -> bool:
    return len(legs) == 2 and all(leg["state"] == "bridged" for leg in legs)


def customer_rings(legs: Legs) -> bool:
    return len(legs) == 2 and legs[1]["state"] == "bridging"


def notifies(number: str, *done: str) -> Kind:
    """An application has a text told."""
    state = client_state(Notification(text="Your parcel is here."))
    body = {"to": number, "connection_id": NOTICES, "client_state": state, **PREMIUM}
    return Kind(body=body, done=[list(done)])


MENU = ["answer", "gather_using_speak"]
MESSAGE = ["speak", "record_start", "hangup"]
CALLS_THEN_GONE = ["dial", "speak", "hangup"]
SAMPLES: list[dict[str, Kind]] = [
    {
        "talks to a desk": rings(1, [*MENU, "transfer"], []),
        "leaves a message: the desk is silent": rings(2, [*MENU, "transfer", *MESSAGE], []),
        "leaves a message: there is no such key": rings(9, [*MENU, *MESSAGE]),
    },
    {
        "agent and customer talk": clicks(
            PERSON,
            PERSON,
            ["dial", "speak", "playback_stop", "bridge"],
            ["dial"],
            leaves=are_bridged,
        ),
        "the customer is busy": clicks(PERSON, BUSY, CALLS_THEN_GONE, ["dial"]),
        "the customer is silent": clicks(PERSON, SILENT, CALLS_THEN_GONE, ["dial"]),
        "the customer is a machine": clicks(PERSON, MACHINE, CALLS_THEN_GONE, ["dial", "hangup"]),
        "the agent is busy": clicks(BUSY, PERSON, ["dial"]),
        "the agent is a fax": clicks(FAX, PERSON, ["dial", "hangup"]),
        "the agent leaves first": clicks(
            PERSON,
            SILENT,
            ["dial", "speak"],
            ["dial", "hangup"],
            leaves=customer_rings,
            connection_id=LONG_RINGS,
        ),
    },
    {
        "a person is told": notifies(PERSON, "dial", "speak", "hangup"),
        "a machine with a beep is told": notifies(MACHINE, "dial", "speak", "hangup"),
        "a fax is told nothing": notifies(FAX, "dial", "hangup"),
        "a machine without one is told": notifies("+12025550172", "dial", "speak", "hangup"),
        "nobody knows who is told": notifies("+12025550173", "dial", "speak", "hangup"),
        "who is busy is told nothing": notifies(BUSY, "dial"),
        "who is silent is told nothing": notifies(SILENT, "dial"),
    },
]
KINDS = {name: kind for sample in SAMPLES for name, kind in sample.items()}


@pytest.fixture
def seed() -> int:
    seed = int.from_bytes(os.urandom(3))
    say(f"seed {seed}")
    return seed


@pytest.fixture
def stack(tmp_path: Path, seed: int) -> Iterator[Stack]:
    names = ("reception", "click_to_call", "long_ring", "notification")
    settings = Settings(
        flows=tuple(f"tests.whole.samples:{name}" for name in names),
        dials_per_s=0,
        simulator_connections=(CLICKS, LONG_RINGS, NOTICES),
        simulator_speed=SPEED,
        simulator_seed=seed,
        simulator_duplicates=FAULTS,
        simulator_disorder=FAULTS,
    )
    with Stack(tmp_path, with_free_ports(settings), workers=2) as stack:
        yield stack


async def test_the_sample_flows_end_every_call_as_they_say(stack: Stack, seed: int) -> None:
    placed: dict[str, str] = {}
    async with _leaving(stack.addresses["simulator"], placed):
        await _place_all(stack, random.Random(seed), placed)
        books = await books_when_quiet(stack.addresses["simulator"])
    found = await settled_verdict(stack.settings.postgres_url, books)
    say(said(found))

    assert found.is_clean, (found.lost, found.doubled)
    assert books["doubled"] == []
    done = _done(books)
    counts = Counter(placed.values())
    say("\n".join(f"{count:4} {name}" for name, count in sorted(counts.items())))
    wrong = {
        each: (name, done[each]) for each, name in placed.items() if done[each] != KINDS[name].done
    }
    assert wrong == {}
    assert len(placed) == len(SAMPLES) * CALLS_EACH
    _check_manners(books)
    await _check_copies(stack, placed)


async def _place_all(stack: Stack, dice: random.Random, placed: dict[str, str]) -> None:
    """Place all calls, as fast as this machine ends them: session -> the name of its kind.

    `placed` is filled meanwhile.
    """
    plans = [dice.choice(list(sample.items())) for sample in SAMPLES for _ in range(CALLS_EACH)]
    dice.shuffle(plans)
    headers = {"authorization": f"Bearer {stack.token}"}
    async with httpx.AsyncClient(timeout=60, headers=headers) as http:
        while plans:
            health = await http.get(f"{stack.addresses['simulator']}/simulator/health")
            room = min(BATCH_MAX, max(0, LIVE_LEGS_MAX - health.json()["live_legs"]))
            batch, plans = plans[:room], plans[room:]
            sessions = await asyncio.gather(*(_place(http, stack, kind) for _, kind in batch))
            placed.update(zip(sessions, (name for name, _ in batch), strict=True))
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def _leaving(simulator_url: str, placed: Mapping[str, str]) -> AsyncIterator[None]:
    """Meanwhile the parties hang up whose kind says so."""
    leaving = asyncio.create_task(_leave(simulator_url, placed))
    try:
        yield
    finally:
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving


async def _leave(simulator_url: str, placed: Mapping[str, str]) -> None:
    left: set[str] = set()
    async with httpx.AsyncClient(base_url=f"{simulator_url}/simulator", timeout=60) as http:
        while True:
            for session_id, legs in _legs((await http.get("/effects")).json()).items():
                leaves = KINDS[placed[session_id]].leaves if session_id in placed else None
                if session_id not in left and leaves is not None and leaves(legs):
                    left.add(session_id)
                    path = f"/calls/{legs[0]['call_control_id']}/hangup"
                    (await http.post(path)).raise_for_status()
            await asyncio.sleep(LOOK_S)


async def _place(http: httpx.AsyncClient, stack: Stack, kind: Kind) -> str:
    """The call's session."""
    if "from" in kind.body:
        url, body = f"{stack.addresses['simulator']}/simulator/calls", dict(kind.body)
    else:
        url = f"{stack.addresses['api']}/v2/calls"
        body = {"from": "+12025550100", "command_id": str(uuid.uuid4()), **kind.body}
    for _ in range(INSISTS):
        answer = await http.post(url, json=body)
        if not answer.is_server_error:
            break
    assert answer.is_success, answer.text
    session_id: str = answer.json()["data"]["call_session_id"]
    return session_id


def _done(books: Mapping[str, Any]) -> dict[str, Done]:
    """What the carrier did to each leg of a session, in order."""
    by_leg: defaultdict[str, list[str]] = defaultdict(list)
    for effect in books["effects"]:
        by_leg[effect["call_control_id"]].append(effect["operation"])
    return {
        session_id: [by_leg[leg["call_control_id"]] for leg in legs]
        for session_id, legs in _legs(books).items()
    }


def _legs(books: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The legs of each session, the first leg first."""
    by_session: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for leg in books["legs"]:
        by_session[leg["call_session_id"]].append(leg)
    return by_session


def _check_manners(books: Mapping[str, Any]) -> None:
    """No machine is told anything before its greeting ended, and no fax at all."""
    greeted = {
        event["call_control_id"]: event["occurred_at"]
        for event in books["events"]
        if event["event_type"] == "call.machine.premium.greeting.ended"
    }
    spoken = {
        effect["call_control_id"]: effect["at"]
        for effect in books["effects"]
        if effect["operation"] == "speak"
    }
    assert greeted, "no machine was called"
    # A machine that was the customer of a click is not spoken to at all.
    assert [leg for leg, at in greeted.items() if spoken.get(leg, at) < at] == []
    faxes = {leg["call_control_id"] for leg in books["legs"] if leg["to"] == FAX}
    assert faxes
    assert faxes & spoken.keys() == set()


async def _check_copies(stack: Stack, placed: Mapping[str, str]) -> None:
    """A session of each kind, copied as a test of its flow, passes."""
    of_each = {name: session_id for session_id, name in placed.items()}
    headers = {"authorization": f"Bearer {stack.token}"}
    copies: dict[str, str] = {}
    async with httpx.AsyncClient(timeout=60, headers=headers) as http:
        for name, session_id in of_each.items():
            url = f"{stack.addresses['api']}/sessions/{session_id}/flow-test"
            copies[name] = (await http.get(url)).raise_for_status().text
    for name, code in copies.items():
        names: dict[str, Any] = {}
        exec(compile(code, name, "exec"), names)
        tests = [each for key, each in names.items() if key.startswith("test_")]
        assert tests, name
        for test in tests:
            test()
