"""What Tahdah's connector is made of beside its calls: what its webhooks say."""
