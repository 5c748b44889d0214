"""Detectors: what a client keeps to score its sounds, today and tomorrow."""
