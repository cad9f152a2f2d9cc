"""Measurements side by side, as ratios; `make bench` runs them. No test depends on a time."""
