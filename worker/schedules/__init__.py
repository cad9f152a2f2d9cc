"""Schedules: when a roster is due, where it comes from, and what the next runs will cost."""
