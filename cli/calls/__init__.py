"""`offhook calls`."""
