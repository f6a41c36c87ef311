"""Between bytes and facts, both ways: what is in the log, and what the carrier sends. Pure."""
