"""A pretend LMS for demos and tests; shares no code with `worker.lms`."""
