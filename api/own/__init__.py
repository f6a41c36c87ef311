"""Offhook's own resources: sessions, commands, analytics."""
