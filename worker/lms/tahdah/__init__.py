"""Parts of Tahdah's connector: its settings and its webhooks."""
