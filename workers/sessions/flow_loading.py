"""Loads the user's flows, which OFFHOOK_FLOWS names; an error is one line that names the flow."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import offhook
from offhook.errors import SettingInvalid
from offhook.flow import WITHOUT_FLOW, Flow


def flows_from(names: Sequence[str], *, said_by: str = "OFFHOOK_FLOWS has ") -> tuple[Flow, ...]:
    """The flows at `module:attribute`. Raises SettingInvalid naming the one that is not there.

    `said_by` is what its message begins with: where the name comes from.
    Modules are found where Python finds them, and last in the working directory.
    """
    # Last, so that a user's `queue.py` or `api/` replaces no module that Python or Offhook needs.
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    flows = tuple(_flow_from(name, said_by) for name in names)
    # The failure of a command is decided on by the flow of that name.
    taken = set(WITHOUT_FLOW)
    for name, flow in zip(names, flows, strict=True):
        if flow.name in taken:
            raise SettingInvalid(f"{said_by}{name!r}: the name {flow.name!r} is taken")
        taken.add(flow.name)
    return flows


def _flow_from(name: str, said_by: str) -> Flow:
    module_name, _, attribute = name.partition(":")
    form = f"{said_by}{name!r}; expected module:attribute{_example(name)}"
    if not module_name or module_name.startswith(".") or not attribute:
        raise SettingInvalid(form)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if module_name.endswith(".py"):
            raise SettingInvalid(form) from error
        is_own = isinstance(error, ModuleNotFoundError) and error.name == module_name
        where = f" in {os.getcwd()} or among what is installed" if is_own else ""
        raise SettingInvalid(f"{said_by}{name!r}: {error}{where}") from error
    except (Exception, SystemExit) as error:  # whatever a module raises when it is loaded
        raise SettingInvalid(
            f"{said_by}{name!r}, which cannot be loaded: "
            f"{type(error).__name__}: {error}{_place(error)}"
        ) from error
    if not hasattr(module, attribute):
        # The file is named because it may be another one than the user's of that name.
        file = getattr(module, "__file__", None) or "built in"
        raise SettingInvalid(
            f"{said_by}{name!r}: module {module_name!r} ({file}) has no attribute {attribute!r}"
        )
    flow = getattr(module, attribute)
    if not isinstance(flow, Flow):
        raise SettingInvalid(f"{said_by}{name!r}, of type {type(flow).__name__}; expected a Flow")
    return flow


def _example(name: str) -> str:
    """Of `frontdesk.py:desk`, or of `frontdesk` alone, what may have been meant."""
    module, _, attribute = name.partition(":")
    module = module.removesuffix(".py").strip(".").replace("/", ".")
    if not module.replace(".", "").isidentifier():
        return ""
    return f", such as {module}:{attribute or module.rpartition('.')[2]}"


def _place(error: BaseException) -> str:
    """Where the user's own code raised, or called what raised."""
    if isinstance(error, SyntaxError):
        return ""  # its message has it
    frames = traceback.extract_tb(error.__traceback__)
    *_, last = (frame for frame in frames if not frame.filename.startswith((_OFFHOOK, "<")))
    return f" ({last.filename}, line {last.lineno})"


_OFFHOOK = str(Path(offhook.__file__).parent)
