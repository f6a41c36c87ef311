"""What is up now: calls by phase, active legs, what lists include, and the last outcomes."""
