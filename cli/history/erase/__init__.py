"""`offhook erase`."""
