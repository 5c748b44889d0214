"""The one ClientApp: answers the messages of all methods, each by the method that the run is configured for.

What a server may ask of a node, and what of its answers leaves, its `NodePolicy` says. Encoders are imported inside the
handlers (`NodePolicy.open`), so that importing this module loads none.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from collab_asd.core.errors import HANDLER_RAISED, InputError, PublicError
from collab_asd.core.progress import show_progress, step
from collab_asd.core.registry import load
from collab_asd.federation.artifacts import keep_scores, save_client_artifacts
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, HELLO, SCORE, SPLIT, STATISTICS
from collab_asd.federation.policy import policy_of
from collab_asd.federation.roster import own_versions, require_same_version
from collab_asd.federation.scoring import decided, kept_reply, score_reply
from collab_asd.methods import METHODS

logger = logging.getLogger(__name__)
DOING = {
    HELLO: "introducing itself",
    DESCRIBE: "describing its recordings",
    STATISTICS: "describing its recordings",
    EMBEDDINGS: "sending embeddings",
    "train": "training",
    SPLIT: "training",
    SCORE: "scoring its test recordings",
}
LINE_SECONDS = 10.0  # of each client: many may write into one log


def keep_errors_private(message: Message, context: Context, handle: Callable[[Message, Context], Message]) -> Message:
    """Log here what went wrong; tell the server only that something did, since an error's text may hold names."""
    show_progress(every=LINE_SECONDS)
    try:
        with step(f"client {_number(context)}: {DOING.get(message.metadata.message_type, 'answering')}"):
            reply = handle(message, context)
        if reply.has_content():
            policy_of(context).note_reply(message.metadata.message_type, reply.content)
        return reply
    except PublicError as error:
        logger.error("refused: %s", str(error))
        return Message(Error(HANDLER_RAISED, str(error)), reply_to=message)
    except Exception as error:
        # As text: whoever keeps log records must not keep the recordings that an exception's traceback holds.
        says = str(error) if isinstance(error, ValueError) else traceback.format_exc()
        logger.error("client %s: %s", _number(context), says)
        reason = f"{type(error).__name__} in {message.metadata.message_type}: its log says more"
        return Message(Error(HANDLER_RAISED, reason), reply_to=message)
    finally:
        if "torch" in sys.modules:
            from collab_asd.core.runtime import release_memory

            release_memory()


def _number(context: Context) -> object:
    return context.node_config.get("client", context.node_config.get("partition-id", 0))


app = ClientApp(mods=[keep_errors_private])


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Say which client this is, of how many, whether its folder is its own, and what it runs."""
    policy = policy_of(context)
    client, clients = policy.number
    require_same_version(message.content.config_records.get("server", ConfigRecord()), "the server", f"client {client}")
    said = {"client": client, "clients": clients, "private": policy.private, **own_versions()}
    return Message(RecordDict({"hello": ConfigRecord(said)}), reply_to=message)


@app.evaluate("score")
def score(message: Message, context: Context) -> Message:
    """Score this client's own test clips, as its method does, and keep the detectors; in a deployment scores, too."""
    policy = policy_of(context)
    config = policy.config
    score_machines = load(METHODS.find(config.method).score)
    client = policy.open()
    client.prepare(range(len(client.partition.clips)))
    machines = score_machines(client, config, message.content)
    save_client_artifacts(client, machines, config, policy.results)
    if policy.scores_folder is None:
        return Message(score_reply(decided(client.partition.client, machines, config)), reply_to=message)
    keep_scores(client, machines, config, policy.scores_folder)
    return Message(kept_reply(), reply_to=message)


def answer(message: Message, context: Context) -> Message:
    """Answer any other message by the configured method.

    Raises
    ------
    InputError
        It is one of another method.
    """
    policy, kind = policy_of(context), message.metadata.message_type
    method = policy.config.method
    handlers = METHODS.find(method).handlers
    if kind not in handlers:
        raise InputError(f"message {kind}: refused, {method} has no use for it")
    reply = load(handlers[kind])(policy.open(), policy.config, context.state, message.content)
    return Message(reply, reply_to=message)


# app.query("describe")(answer), app.train("embeddings")(answer), and so on: every message that a method has a use for.
for _kind in sorted({kind for _, spec in METHODS.loadable() for kind in spec.handlers} - {HELLO, SCORE}):
    _category, _, _action = _kind.partition(".")
    getattr(app, _category)(*filter(None, [_action]))(answer)
