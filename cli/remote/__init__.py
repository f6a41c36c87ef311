"""Requests to a running installation: its API, ingress, log and views; and to the carrier."""
