"""Synthetic machines in the DCASE layout: data that needs no download, for demonstrations and tests.

Six machine types as in DCASE 2020 Task 2, any number of machine IDs, several kinds of fault of graded severity, heard
at varying speed and load in several factories. From the outside to the inside: `dataset` (files and cache), `clips`
(which clips there are), `sound` (how a machine is heard), `machines` (what it is), `recipes` (how each type is built),
`faults` (what breaks), `factories` (what else is heard) and `signals` (noises and blows).
"""

from collab_asd.data.synthetic.clips import SyntheticClip, SyntheticSettings, clips, machines
from collab_asd.data.synthetic.dataset import ensure_dataset, write_dataset
from collab_asd.data.synthetic.sound import render

__all__ = ["SyntheticClip", "SyntheticSettings", "clips", "ensure_dataset", "machines", "render", "write_dataset"]
