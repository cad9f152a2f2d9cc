"""Thin Celery tasks, one file each: an id in, one call into the process, the next messages out.

A task decides nothing, queries nothing and loops over nothing; the work is in `worker.runtime`.
"""
