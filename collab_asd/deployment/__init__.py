"""A consortium of real SuperNodes: keys, certificates, checks, processes."""
