"""Detectors that each client builds alone: nothing is shared."""
