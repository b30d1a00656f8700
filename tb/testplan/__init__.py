"""Says of each RTL module which builds, benches, properties and faults it has."""
