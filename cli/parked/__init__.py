"""`offhook parked`."""
