"""What KMI's connector is made of: the shapes of its bodies, and what is done to what is there."""
