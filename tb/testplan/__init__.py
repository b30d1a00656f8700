"""Says of each RTL module which builds, benches, proofs and netlists it has."""
