"""What embeddings go through on their way to the server: codecs and defences."""
