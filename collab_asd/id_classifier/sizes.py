"""What every network of this folder agrees on."""

EMBEDDING_SIZE = 128  # d, of one window (MobileFaceNet, table 1)
