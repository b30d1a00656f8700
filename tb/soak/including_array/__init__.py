"""An array of which one source includes a part, so that the soak can edit that part."""
