"""Parts of KMI's connector: its JSON, and reading and changing registrations and users."""
