"""Rows → outcomes. Knows no Celery."""
