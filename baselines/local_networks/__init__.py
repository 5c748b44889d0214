"""Neural detectors that each client trains alone on log-mel frames: VAE, VIDNN and Glow. Re-implementations."""
