"""A role on the log: its lifecycle, and what it answers about itself."""
