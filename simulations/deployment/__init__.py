"""A consortium of real SuperNodes: what starts it, guards it and looks after it."""
