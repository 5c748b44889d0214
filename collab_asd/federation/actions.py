"""What a server may ask of a client: the message types of the one ClientApp."""

HELLO = "query.hello"
DESCRIBE = "query.describe"
EMBEDDINGS = "train.embeddings"
SCORE = "evaluate.score"
