"""What a server may ask of a client: the message types of the one ClientApp."""

HELLO = "query.hello"
DESCRIBE = "query.describe"
STATISTICS = "query.statistics"
SPLIT = "train.split"
EMBEDDINGS = "train.embeddings"
SCORE = "evaluate.score"
