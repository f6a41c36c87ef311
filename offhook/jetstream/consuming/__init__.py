"""Deliveries of a durable consumer: how they are pulled, and what is in one."""
