"""The commands of ``collab-asd``, one file each."""
