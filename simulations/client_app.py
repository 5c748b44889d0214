"""The one ClientApp: every message that a client answers, on one screen.

Encoders are imported inside the handlers (`open_client`), so that importing this module loads none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from baselines.client_training import client as client_training
from baselines.fedavg import client as fedavg
from baselines.fedavg.strategy import STOCK
from baselines.local import scoring as local
from baselines.local.strategy import SCORER_OF
from baselines.local_networks import client as local_networks
from baselines.local_networks.settings import NETWORK_OF
from baselines.split_learning import client as split_learning
from baselines.split_learning.strategy import SPLIT_METHODS
from collab_asd.config import RunConfig
from collab_asd.embedding_sharing import client as embedding_sharing
from collab_asd.errors import PublicError
from collab_asd.federation.actions import DESCRIBE, EMBEDDINGS, HELLO, SCORE, SPLIT, STATISTICS
from collab_asd.federation.client_data import ClientData, client_config, client_number, open_client
from collab_asd.federation.keeping import save_client_artifacts
from collab_asd.federation.private import is_private, require_answered
from collab_asd.federation.records import content_bytes
from collab_asd.federation.scoring import MachineScores, decided, kept_reply, score_reply
from collab_asd.federation.versions import own_versions, require_same_version
from collab_asd.paths import results_dir
from collab_asd.progress import step
from simulations.logs import show_progress
from simulations.own_results import keep_scores

logger = logging.getLogger(__name__)
HANDLER_RAISED = 2
DOING = {
    HELLO: "introducing itself",
    DESCRIBE: "describing its recordings",
    STATISTICS: "describing its recordings",
    EMBEDDINGS: "sending embeddings",
    "train": "training",
    SPLIT: "training",
    SCORE: "scoring its test recordings",
}
LINE_SECONDS = 15.0  # of each client: many may write into one log

SCORING: dict[str, Callable[[ClientData, RunConfig, RecordDict], list[MachineScores]]] = {
    "embedding-sharing": embedding_sharing.score,
    "centralized": embedding_sharing.score,  # its embeddings are the recordings
    **dict.fromkeys((*STOCK, *SPLIT_METHODS), embedding_sharing.score),  # f_s comes from the server, as in Algorithm 1
    **dict.fromkeys(SCORER_OF, lambda client, config, _: local.score(client, config)),
    **dict.fromkeys(NETWORK_OF, lambda client, config, _: local_networks.score(client, config)),
}


def keep_errors_private(message: Message, context: Context, handle: ClientAppCallable) -> Message:
    """Log here what went wrong; tell the server only that something did, since an error's text may hold names."""
    show_progress(every=LINE_SECONDS)
    try:
        if is_private(context) and message.metadata.message_type != HELLO:
            require_answered(message.metadata.message_type, client_config(context))
        with step(f"client {_number(context)}: {DOING[message.metadata.message_type]}"):
            reply = handle(message, context)
        if is_private(context) and reply.has_content():
            logger.info("%s: %d bytes leave", message.metadata.message_type, content_bytes(reply.content))
        return reply
    except PublicError as error:
        logger.error("refused: %s", error)
        return Message(Error(HANDLER_RAISED, str(error)), reply_to=message)
    except Exception as error:
        logger.error("client %s: %s", _number(context), error, exc_info=not isinstance(error, ValueError))
        reason = f"{type(error).__name__} in {message.metadata.message_type}: its log says more"
        return Message(Error(HANDLER_RAISED, reason), reply_to=message)


def _number(context: Context) -> object:
    return context.node_config.get("client", context.node_config.get("partition-id", 0))


app = ClientApp(mods=[keep_errors_private])


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Say which client this is, of how many, whether its folder is its own, and what it runs."""
    require_same_version(message.content.config_records.get("server", ConfigRecord()), "the server")
    client, clients = client_number(context)
    said = {"client": client, "clients": clients, "private": is_private(context), **own_versions()}
    return Message(RecordDict({"hello": ConfigRecord(said)}), reply_to=message)


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Embed all clips and say what there is to share."""
    return Message(embedding_sharing.describe(open_client(context), client_config(context)), reply_to=message)


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """Sum up the frames that a model is to be trained on."""
    return Message(client_training.statistics(open_client(context)), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the averaged model a little further, as Flower's stock strategies ask."""
    return Message(fedavg.train(open_client(context), client_config(context), message.content), reply_to=message)


@app.train("split")
def split(message: Message, context: Context) -> Message:
    """Train the first stage of f_s by one batch, for a server that has the rest."""
    client, config = open_client(context), client_config(context)
    return Message(split_learning.train(client, config, context.state, message.content), reply_to=message)


@app.train("embeddings")
def embeddings(message: Message, context: Context) -> Message:
    """Send one page of embeddings."""
    page = embedding_sharing.embeddings(open_client(context), client_config(context), message.content)
    return Message(page, reply_to=message)


@app.evaluate("score")
def score(message: Message, context: Context) -> Message:
    """Score this client's own test clips, as its method does, and keep the detectors; in a deployment scores, too."""
    config = client_config(context)
    client = open_client(context)
    client.prepare(range(len(client.partition.clips)))
    machines = SCORING[config.method](client, config, message.content)
    folder = results_dir(config.results_dir, context.run_id)
    save_client_artifacts(client, machines, config, folder)
    scores = decided(client.partition.client, machines, config)
    if config.report_scores and not client.private:
        return Message(score_reply(scores), reply_to=message)
    keep_scores(client, scores, config, folder if client.private else folder / f"client-{scores.client}")
    return Message(kept_reply(), reply_to=message)
