"""Parts of Tahdah's connector: its webhooks."""
