"""The tables in Postgres: migrations, and the versions of the views."""
