"""Fixtures of all files."""

from tests.patient_nats import patient_connections

__all__ = ["patient_connections"]
