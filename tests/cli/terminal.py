"""`offhook …` as typed at a terminal, in this process: its status, output and errors."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from offhook.cli.main import main


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What a command left: exit status, standard output, standard error."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Terminal:
    """A terminal with no OFFHOOK_* variable but those in `variables`."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.variables = dict(variables or {})

    def __call__(self, *arguments: str) -> Printed:
        with self._monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("OFFHOOK_")]:
                patch.delenv(name)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["offhook", *arguments])
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
            out, err = self._capsys.readouterr()
        code = ended.value.code
        return Printed(status=code if isinstance(code, int) else 0, output=out, errors=err)
