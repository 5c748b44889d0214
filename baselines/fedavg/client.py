"""The client's half of federated averaging: sums of its frames once, then a little training in each round."""

from __future__ import annotations

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from baselines.fedavg.algorithm import frame_sums, put_together, take_apart
from baselines.fedavg.settings import settings_of
from collab_asd.config import RunConfig
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.records import from_record, to_record
from collab_asd.id_classifier.model import ClassifierSettings
from collab_asd.id_classifier.training import fit
from collab_asd.interfaces import FloatArray
from collab_asd.progress import step
from collab_asd.seeding import derive


def statistics(client: ClientData) -> RecordDict:
    """Say what the server must know: the encoder's facts, this client's classes, and sums over its frames per group."""
    spec, content = client.encoder.spec, RecordDict()
    content["encoder"] = ConfigRecord(
        {
            "stack": spec.stack,
            "stack-hop": spec.stack_hop,
            "dimension": spec.dimension,
            "digest": spec.digest,
            "note": spec.note,
        }
    )
    with step(f"client {client.partition.client}: embedding clips", len(client.partition.clips)) as advance:
        for index in range(len(client.partition.clips)):
            client.prepare(index)
            advance()
    for group in sorted({machine.group for machine in client.machines()}):
        clips, classes = _training_clips(client, group)
        content[f"sums/{group}"] = to_record(frame_sums(clips))
        content[f"classes/{group}"] = ConfigRecord({"held": sorted(set(classes))})
    return content


def train(client: ClientData, config: RunConfig, content: RecordDict) -> RecordDict:
    """Train the model of one group on this client's normal clips; return it with the number of windows seen."""
    request = content.config_records["config"]
    group, server_round = int(str(request["group"])), int(str(request["server-round"]))
    settings = ClassifierSettings(**content.config_records["settings"])  # type: ignore[arg-type]
    arrays, buffers = (from_record(content.array_records[name]) for name in ("arrays", "buffers"))
    model = put_together(settings, arrays, buffers)
    training = settings_of(config, proximal=float(str(request.get("proximal-mu", 0.0)))).training
    clips, classes = _training_clips(client, group)
    losses: list[float] = []
    seed = derive(config.seed, "federated", group, client.partition.client, server_round)
    fit(model, clips, classes, training, seed, lambda epoch, loss: losses.append(loss))
    trained, buffers = take_apart(model)
    metrics = MetricRecord({"num-examples": len(clips), "loss": losses[-1]})
    return RecordDict({"arrays": to_record(trained), "buffers": to_record(buffers), "metrics": metrics})


def _training_clips(client: ClientData, group: int) -> tuple[list[FloatArray], list[int]]:
    machines = [machine for machine in client.machines() if machine.group == group]
    clips = [frames for machine in machines for frames in client.frames(machine.train)]
    return clips, [machine.machine_class for machine in machines for _ in machine.train]
