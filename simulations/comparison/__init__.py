"""``collab-asd compare``: methods x encoders x scorers x partitions x seeds on the same clips."""
