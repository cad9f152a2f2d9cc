"""Outcomes → files that people open."""
