"""NATS, PostgreSQL and every role as child processes, for `offhook up` and `offhook demo`."""
