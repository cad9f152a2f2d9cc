"""A job's life: plan, advance, pause, complete, report, undo, verify, purge."""
