"""Schedules: when a roster is due, where it comes from, and how many calls the next runs need."""
