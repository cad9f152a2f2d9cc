"""Speaking to learning management systems."""
