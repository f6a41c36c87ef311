"""What Alembic runs around a migration, on the connection of `offhook.projections.schema`."""

from alembic import context

from offhook.projections.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # One transaction for all of them, begun and committed by the caller.
    transaction_per_migration=False,
)
context.run_migrations()
