"""The pure machine: what a leg is, and how commands, keys and time change it."""
