"""One session: read, leased, decided on, settled."""
