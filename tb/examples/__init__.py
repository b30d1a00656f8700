"""Arrays that somebody else might have written, each with its adapter."""
