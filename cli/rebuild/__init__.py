"""`offhook rebuild`."""
