"""Recordings: audio, layouts, checks, partitions, downloads, synthetic machines."""
