"""Makes gates of arrays and core: what they cost, how often they switch, whether benches pass."""
