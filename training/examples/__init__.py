"""Trains two networks that a user might bring; docs/own-network.md runs them on the array."""
