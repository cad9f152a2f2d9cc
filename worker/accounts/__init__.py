"""Who may use the web door: accounts, their passwords, sessions and API tokens, and what stops guessing."""
