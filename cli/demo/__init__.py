"""`offhook demo`: simulated calls through the whole system, and a verdict at the end."""
