"""Accounts for the page and the API: passwords, sessions, API tokens, and protection against guessing."""
