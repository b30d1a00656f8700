"""Holds an array one of whose sources includes a part, so that the soak can edit that part."""
