"""Postgres: the engine, transactions, errors, and what to do when the server is silent."""
