"""The copy of the log, and what of it was archived or erased."""
