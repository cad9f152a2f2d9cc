"""What a task may ask of a worker process, one file for each task. They know no Celery."""
