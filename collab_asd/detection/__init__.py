"""Anomaly scorers f_a, detectors, thresholds, saved detectors, evaluation."""
