"""Moodle: its web services, people, courses and enrolments, for the connector in `worker.lms.connectors.moodle`."""
