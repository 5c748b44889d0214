"""ID classifiers in messages: from the server to its clients, one per group of machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flwr.app import ConfigRecord, RecordDict

from collab_asd.federation.records import from_record, to_record
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays


def put_classifiers(classifiers: Mapping[int, IdClassifier], groups: Iterable[int]) -> RecordDict:
    """Lay out the f_s of some groups."""
    content = RecordDict()
    for group in groups:
        content[f"f_s/{group}"] = to_record(to_arrays(classifiers[group]))
        content[f"settings/{group}"] = ConfigRecord(classifiers[group].settings.to_plain())
    return content


def holds_classifier(content: RecordDict, group: int) -> bool:
    """Whether a message brings the f_s of a group."""
    return f"f_s/{group}" in content.array_records


def read_classifier(content: RecordDict, group: int) -> IdClassifier:
    """Rebuild the f_s of a group."""
    settings = ClassifierSettings.from_plain(content.config_records[f"settings/{group}"])
    return from_arrays(settings, from_record(content.array_records[f"f_s/{group}"]))
