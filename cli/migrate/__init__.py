"""`offhook migrate`."""
