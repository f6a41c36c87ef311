"""`offhook show`."""
