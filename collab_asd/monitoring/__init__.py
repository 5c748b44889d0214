"""Tomorrow's recordings: scoring them with a saved detector, watching for drift, explaining an alarm."""
