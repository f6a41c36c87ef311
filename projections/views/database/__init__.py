"""Postgres: the engine, transactions, errors, many rows at once, and a server that is silent."""
