"""Thin Celery tasks: an id in, one call into the core, the next message out."""
