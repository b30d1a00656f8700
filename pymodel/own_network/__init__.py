"""Takes layers of a user's own network: their integers, whether they fit, and their file."""
