"""`offhook repair`."""
