"""A consortium on real machines: what each party needs, how its processes are started, checked and stopped."""
