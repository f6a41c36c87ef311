"""What each figure of analytics means, as data.

    GET /analytics/definitions    meaning, source and formula by name; the carrier's policy lines

They are those of the code that counts, so they cannot differ from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends

from offhook.api.auth import Tokens
from offhook.api.replies import ReplyRoute
from offhook.projections.views.analytics.grouping.percentiles import PERCENTILES_FORMULA
from offhook.projections.views.analytics.groups import FIGURES
from offhook.projections.views.analytics.kpis import (
    ABR,
    BIDS_FAILED,
    BIDS_FAILED_MEANING,
    COUNTERS,
    RATIOS,
    RatioRule,
)
from offhook.projections.views.analytics.load.load import LOAD_FIGURES
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.analytics.subjects.webhooks import WEBHOOKS


@dataclass(frozen=True, kw_only=True)
class RatioDefinition:
    """`policy_line` is the value above which the carrier charges more; null if it does not."""

    meaning: str
    source: str
    formula: str
    policy_line: float | None


@dataclass(frozen=True, kw_only=True)
class FigureDefinition:
    """A figure that is no ratio of counts: a mean, percentiles, a peak."""

    meaning: str
    source: str
    formula: str


@dataclass(frozen=True, kw_only=True)
class SubjectDefinitions:
    """By name: what is counted, what each ratio is, and all other figures."""

    counts: Mapping[str, str]
    ratios: Mapping[str, RatioDefinition]
    figures: Mapping[str, FigureDefinition]


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Those of calls, and of each other resource by the last part of its path.

    `ratios` has `abr` too, which only groups of calls have.
    """

    counts: Mapping[str, str]
    ratios: Mapping[str, RatioDefinition]
    figures: Mapping[str, FigureDefinition]
    load: SubjectDefinitions
    queues: SubjectDefinitions
    commands: SubjectDefinitions
    webhooks: SubjectDefinitions


@dataclass(frozen=True, kw_only=True)
class DefinitionsReply:
    """All definitions. They change with the version of Offhook only."""

    data: Definitions


def definitions_router(*, tokens: Tokens) -> APIRouter:
    """The route above."""
    router = APIRouter(
        route_class=ReplyRoute, prefix="/analytics", dependencies=[Depends(tokens.allow("read"))]
    )
    found = Definitions(
        counts={counter.name: counter.meaning for counter in COUNTERS}
        | {BIDS_FAILED: BIDS_FAILED_MEANING},
        ratios=_ratios([*RATIOS, ABR]),
        figures=_figures(FIGURES),
        load=SubjectDefinitions(
            counts={"calls": "started in the bucket"}, ratios={}, figures=_figures(LOAD_FIGURES)
        ),
        queues=_subject(VISITS),
        commands=_subject(COMMANDS),
        webhooks=_subject(WEBHOOKS),
    )

    @router.get("/definitions", tags=["analytics"], summary="What each figure means")
    async def definitions() -> DefinitionsReply:
        """Meaning, source and formula of the counts, ratios and other figures of all replies."""
        return DefinitionsReply(data=found)

    return router


def _ratios(rules: Iterable[RatioRule]) -> dict[str, RatioDefinition]:
    return {
        rule.name: RatioDefinition(
            meaning=rule.meaning,
            source=rule.source,
            formula=rule.formula,
            policy_line=rule.policy_line,
        )
        for rule in rules
    }


def _figures(named: Mapping[str, tuple[str, str, str]]) -> dict[str, FigureDefinition]:
    return {
        name: FigureDefinition(meaning=meaning, source=source, formula=formula)
        for name, (meaning, source, formula) in named.items()
    }


def _subject(subject: Subject) -> SubjectDefinitions:
    figures = {mean.name: (mean.meaning, mean.source, mean.formula) for mean in subject.means}
    figures |= {
        name: (meaning, "Offhook", PERCENTILES_FORMULA)
        for name, meaning in subject.durations.items()
    }
    return SubjectDefinitions(
        counts=subject.counters, ratios=_ratios(subject.ratios), figures=_figures(figures)
    )
