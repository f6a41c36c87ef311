"""Offhook's own resources: sessions, commands, queues, analytics, health, streams."""
