"""A carrier that notes every request as it came, and answers what it was told to answer."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK = {"data": {"result": "ok"}}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request. `target` is its path with the query, below the carrier's base address."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def json_text(self, *, without: str = "") -> str:
        """The body with its keys in order and numbers as they were written, less one parameter."""
        body = json.loads(self.body, parse_float=lambda text: f"float {text}")
        body.pop(without, None)
        return json.dumps(body, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`held` keeps the answer back until it is set."""

    status: int = 200
    body: Any = field(default_factory=lambda: OK)
    headers: Mapping[str, str] = field(default_factory=dict)
    held: threading.Event | None = None


class Recorder:
    """Requests and answers by a text that is in the request: an id, a number."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asked: list[Asked] = []
        self._answers: dict[str, Answer] = {}

    def answer(self, about: str, answer: Answer) -> None:
        """From now on every request with this text in its target or body gets this answer."""
        self._answers[about] = answer

    def asked(self, about: str) -> list[Asked]:
        """The requests with this text in their target or body, in the order in which they came."""
        return [each for each in list(self._asked) if _is_about(each, about)]

    def take(self, asked: Asked) -> Answer:
        self._asked.append(asked)
        told = (answer for about, answer in self._answers.items() if _is_about(asked, about))
        return next(told, Answer())


def _is_about(asked: Asked, text: str) -> bool:
    return text in asked.target or text.encode() in asked.body


@contextmanager
def recording() -> Iterator[Recorder]:
    """A recorder on a free port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.recorder = Recorder(f"http://127.0.0.1:{server.server_port}/v2")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield server.recorder
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class _Server(ThreadingHTTPServer):
    recorder: Recorder
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = self.server.recorder.take(
            Asked(
                method=self.command,
                target=self.path.removeprefix("/v2"),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
            )
        )
        if answer.held is not None:
            answer.held.wait()
        content = json.dumps(answer.body).encode()
        headers = {"content-type": "application/json", **answer.headers}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for failures."""
