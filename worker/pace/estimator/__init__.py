"""Find out an unknown rate limit from answers."""
