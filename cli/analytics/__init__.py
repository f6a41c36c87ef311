"""`offhook analytics`."""
