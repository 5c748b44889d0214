"""``collab-asd compare``: methods x encoders x scorers x seeds on the same clips."""
