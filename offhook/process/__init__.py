"""What every process does around its work: logs, health, serving, bounded connections."""
