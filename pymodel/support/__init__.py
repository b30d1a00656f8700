"""Serves every room: errors, files, commands, sealed tensor files."""
