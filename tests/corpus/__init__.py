"""Nasty rosters, and what a person sees in each: made.py makes most of them, expected.toml says what is right."""
