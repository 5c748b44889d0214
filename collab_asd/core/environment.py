"""What a command line and the ServerApp that it started tell each other: files, named in the environment.

Apart from the ServerApp, which takes seconds to import.
"""

ERROR_FILE_VARIABLE = "COLLAB_ASD_ERROR_FILE"
"""Where it is looked for what was refused: ``flwr run`` ends with 0 all the same."""
OWN_KEYS_VARIABLE = "COLLAB_ASD_SERVER_KEYS"
"""Where the server of a deployment leaves keys of its own, as JSON: the run config goes to the clients."""
NODES_VARIABLE = "COLLAB_ASD_NODES"
"""Where that server keeps whose key each SuperNode has."""
