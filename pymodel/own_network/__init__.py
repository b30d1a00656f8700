"""Judges layers of a user's own network, keeps their integers, and runs it from their sums."""
