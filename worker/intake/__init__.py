"""Roster file → rows: the way in."""
