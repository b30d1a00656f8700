"""Judges whether layers of a user's own network fit, and keeps their integers in a file."""
