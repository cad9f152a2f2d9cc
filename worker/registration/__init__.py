"""Process one batch of rows to outcomes. Independent of Celery."""
