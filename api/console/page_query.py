"""The query of a page: values of which there are a few, and refusals in the names of the page."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from offhook.api.console.client import ApiRefused
from offhook.errors import shown


def choice_in(query: Mapping[str, str], name: str, choices: Collection[str], default: str) -> str:
    """The value; the default without one. Raises ApiRefused 422, as the API for its parameters."""
    text = query.get(name, "").strip() or default
    if text not in choices:
        raise not_expected(name, text, " or ".join(_last_two(list(choices))))
    return text


def not_expected(name: str, text: str, expected: str) -> ApiRefused:
    """The refusal of a value."""
    return ApiRefused(422, f"{name} is {shown(text)}; expected {expected}")


@contextmanager
def named(names: Mapping[str, str]) -> Iterator[None]:
    """What the API refuses, with the page's own names of these parameters of the API."""
    try:
        yield
    except ApiRefused as refused:
        name, space, rest = refused.detail.partition(" ")
        raise ApiRefused(refused.status, f"{names.get(name, name)}{space}{rest}") from None


def _last_two(words: list[str]) -> list[str]:
    return [", ".join(words[:-1]), words[-1]] if len(words) > 1 else words
