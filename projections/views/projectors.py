"""The projectors that are running, and which of them holds which partition of the log.

A projector renews its row in `projectors`; a partition is held by the one that its lease names, as
long as that one's row has not expired by Postgres' clock. Each change of hands raises the epoch,
which every batch compares: see `projector.leases`.
"""

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text

from offhook.projections.views.view import metadata

projectors = Table(
    "projectors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("projector_id", Text, primary_key=True),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # The connection that it writes the views with.
    Column("backend_pid", Integer, nullable=False),
    Column("backend_started_at", DateTime(timezone=True), nullable=False),
)

projector_leases = Table(
    "projector_leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text),  # null once it was given back
    Column("epoch", BigInteger, nullable=False),
    Column("taken_at", DateTime(timezone=True)),
)
