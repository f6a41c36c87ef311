"""Alembic's environment: runs the migrations on the connection that `schema.migrate` hands in."""

from alembic import context

from offhook.projections.views.registry import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # One transaction for all migrations, which the caller begins and commits.
    transaction_per_migration=False,
    on_version_apply=context.config.attributes["applied"],
)
context.run_migrations()
