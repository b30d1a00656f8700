"""Old names of modules that live in other rooms now."""
