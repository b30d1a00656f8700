"""Lists the builds, benches and proofs of each RTL module, and gives its runs to pytest."""
