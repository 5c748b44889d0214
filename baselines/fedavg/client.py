"""The client's half of federated averaging: a little training in each round."""

from __future__ import annotations

from flwr.app import MetricRecord, RecordDict

from baselines.client_training.client import round_seed, training_clips
from baselines.client_training.rounds import settings_of
from baselines.fedavg.algorithm import put_together, take_apart
from collab_asd.classifier.model import ClassifierSettings
from collab_asd.classifier.training import fit
from collab_asd.config import RunConfig
from collab_asd.core.runtime import resolve_device
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import from_record, to_record


def train(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Train the model of one group on this client's normal clips; return it with the number of clips seen."""
    request = content.config_records["config"]
    group, server_round = int(str(request["group"])), int(str(request["server-round"]))
    settings = ClassifierSettings.from_plain(content.config_records["settings"])
    arrays, buffers = (from_record(content.array_records[name]) for name in ("arrays", "buffers"))
    model = put_together(settings, arrays, buffers).to(resolve_device(config.device))
    own = training_clips(client, group)
    proximal = float(str(request.get("proximal-mu", 0.0)))
    training = settings_of(config, proximal, own.share(request)).training
    losses: list[float] = []
    seed = round_seed(config, client, group, server_round)
    fit(model, own.clips, own.classes, training, seed, lambda _, loss: losses.append(loss))
    trained, buffers = take_apart(model)
    metrics = MetricRecord({"num-examples": len(own.clips), "loss": losses[-1]})
    return RecordDict({"arrays": to_record(trained), "buffers": to_record(buffers), "metrics": metrics})
