"""`offhook apps`."""
