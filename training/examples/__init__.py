"""Two networks that are not this project's own: docs/own-network.md runs them on the array."""
