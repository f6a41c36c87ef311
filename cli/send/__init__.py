"""`offhook send`."""
