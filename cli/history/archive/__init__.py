"""`offhook archive`."""
