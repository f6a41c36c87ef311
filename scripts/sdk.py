"""The call operations of the official SDK, read from its methods and type definitions."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Required, get_args, get_origin

from telnyx.resources.calls.actions import ActionsResource
from telnyx.resources.calls.calls import CallsResource
from typing_extensions import get_type_hints


@dataclass(frozen=True, kw_only=True)
class SdkOperation:
    """One operation of the SDK."""

    name: str  # the last part of its path; dial
    sdk_method: str
    http_method: str
    path: str
    parameters: type  # a TypedDict
    description: str

    @property
    def class_name(self) -> str:
        return re.sub(r"^(Action|Call)|Params$", "", self.parameters.__name__)


def sdk_operations() -> Iterator[SdkOperation]:
    """Dial, and every action on a leg, read from the SDK's methods."""
    for resource in (CallsResource, ActionsResource):
        module = inspect.getmodule(resource)
        tree = ast.parse(textwrap.dedent(inspect.getsource(resource)))
        for method in ast.walk(tree):
            if not isinstance(method, ast.FunctionDef):
                continue
            call = next(_http_calls(method), None)
            if call is None:
                continue
            path = next(
                node.value
                for node in ast.walk(call.args[0])
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
            name = "dial" if path == "/calls" else path.rpartition("/")[2]
            module_name, class_name = next(
                (node.value.id, node.attr)
                for node in ast.walk(call)
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.attr.endswith("Params")
            )
            yield SdkOperation(
                name=name,
                sdk_method=method.name,
                http_method=call.func.attr[1:].upper(),  # type: ignore[attr-defined]
                path=path,
                parameters=getattr(vars(module)[module_name], class_name),
                description=ast.get_docstring(method) or "",
            )


def _http_calls(method: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(method):
        match node:
            case ast.Call(func=ast.Attribute(attr="_post" | "_put")):
                yield node


@dataclass(frozen=True)
class Entry:
    """A parameter of an operation, or an entry of an object."""

    name: str  # the carrier's
    kind: Any
    required: bool


def entries_of(typed_dict: type) -> list[Entry]:
    """The carrier's names and types, required ones first, otherwise in the order of the SDK."""
    entries = []
    for name, hint in get_type_hints(typed_dict, include_extras=True).items():
        required = get_origin(hint) is Required
        kind = get_args(hint)[0] if required else hint
        if get_origin(kind) is Annotated:
            kind, *extras = get_args(kind)
            name = next((one.alias for one in extras if getattr(one, "alias", None)), name)
        entries.append(Entry(name, kind, required))
    return sorted(entries, key=lambda entry: not entry.required)


def descriptions_of(typed_dict: type) -> dict[str, str]:
    """The SDK's description of each parameter, as one line, by the SDK's name for it."""
    tree = ast.parse(inspect.getsource(typed_dict))
    (definition,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    descriptions = {}
    for statement, after in pairwise(definition.body):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                descriptions[name] = " ".join(text.split())
    return descriptions
