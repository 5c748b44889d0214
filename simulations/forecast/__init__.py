"""What a comparison will cost before it is begun: bytes, hours, and what is missing."""
