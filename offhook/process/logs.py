"""Logs: one JSON object a line on standard error, without secrets."""

import json
import logging
import sys
import time
from collections.abc import Sequence


def configure_logs(role: str, secrets: Sequence[str] = ()) -> None:
    """One JSON object a line on standard error, with whatever was given as `extra`.

    `secrets` are replaced wherever they occur, for example in a library's error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(role, secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for quiet in ("httpx", "httpcore", "faststream", "uvicorn", "alembic"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def redacted(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text


class _JsonLines(logging.Formatter):
    def __init__(self, role: str, secrets: Sequence[str]) -> None:
        super().__init__()
        self._role = role
        # In their JSON form too: a quotation mark has a backslash there.
        self._secrets = [each for text in secrets for each in (text, json.dumps(text)[1:-1])]

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": self._role,
            "what": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, default=str), self._secrets)


_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
