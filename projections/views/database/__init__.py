"""Postgres: the engine with its settings and errors, and what to do when the server is silent."""
