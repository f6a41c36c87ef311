"""Every subject of which hours are kept, and the tables for it."""

from collections.abc import Sequence

from sqlalchemy import Table

from offhook.projections.views.analytics.hourly.figure_hours import COMMAND_HOURS, VISIT_HOURS
from offhook.projections.views.analytics.hourly.load_hours import LOAD_HOURS
from offhook.projections.views.analytics.hourly.making import Hourly, hours_made
from offhook.projections.views.analytics.rollups.changes import hour_changes

KEPT_HOURS: Sequence[Hourly] = (LOAD_HOURS, COMMAND_HOURS, VISIT_HOURS)

HOURLY_TABLES: Sequence[Table] = (
    hour_changes,
    hours_made,
    *(subject.table for subject in KEPT_HOURS),
)
