"""Facts in: verify, append, answer. Holds no state."""
