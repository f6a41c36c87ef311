"""Alembic's environment: runs the migrations on the connection of `offhook.projections.schema`."""

from alembic import context

from offhook.projections.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # One transaction for all migrations, which the caller begins and commits.
    transaction_per_migration=False,
)
context.run_migrations()
