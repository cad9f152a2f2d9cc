"""The doors people use."""
