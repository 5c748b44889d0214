"""What embedding sharing is compared with, on the same clients, clips, scorers and seeds."""
