"""Calls in numbers: `kpis` says what is counted and why, `reads` counts it."""
