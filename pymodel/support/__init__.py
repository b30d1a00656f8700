"""Holds what every room uses: errors, files, commands, sealed tensor files."""
