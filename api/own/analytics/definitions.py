"""What each count and ratio of analytics means, as data.

    GET /analytics/definitions    meaning, source and formula by name; the carrier's policy lines

They are those of the code that counts, so they cannot differ from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends

from offhook.api.auth import Tokens
from offhook.projections.views.analytics.kpis import COUNTERS, RATIOS


@dataclass(frozen=True, kw_only=True)
class RatioDefinition:
    """`policy_line` is the value above which the carrier charges more; null if it does not."""

    meaning: str
    source: str
    formula: str
    policy_line: float | None


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """By name: what each count is of, and what each ratio is."""

    counts: Mapping[str, str]
    ratios: Mapping[str, RatioDefinition]


@dataclass(frozen=True, kw_only=True)
class DefinitionsReply:
    """All definitions. They change with the version of Offhook only."""

    data: Definitions


def definitions_router(*, tokens: Tokens) -> APIRouter:
    """The route above."""
    router = APIRouter(prefix="/analytics", dependencies=[Depends(tokens.allow("read"))])
    found = Definitions(
        counts={counter.name: counter.meaning for counter in COUNTERS},
        ratios={
            rule.name: RatioDefinition(
                meaning=rule.meaning,
                source=rule.source,
                formula=rule.formula,
                policy_line=rule.policy_line,
            )
            for rule in RATIOS
        },
    )

    @router.get("/definitions", tags=["analytics"], summary="What each figure means")
    async def definitions() -> DefinitionsReply:
        """Meaning, source and formula of the counts and ratios of all replies."""
        return DefinitionsReply(data=found)

    return router
