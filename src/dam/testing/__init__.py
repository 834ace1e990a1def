"""Real nodes for tests, demos and users' own experiments: a local chain, a local IPFS node."""
