"""In numbers: `kpis` says what is counted of calls, `reads` counts it; `queues` does both."""
