"""Parts of KMI's connector: its settings, its JSON, and reading and changing registrations and users."""
