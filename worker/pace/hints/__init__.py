"""Read what an answer says about the rate limit."""
