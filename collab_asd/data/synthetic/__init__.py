"""Synthetic machines in the DCASE layout: data that needs no download, for demonstrations and tests.

Six machine types as in DCASE 2020 Task 2, any number of machine IDs, several kinds of fault of graded severity, heard
at varying speed and load in several factories. From the outside to the inside: `settings` (what is asked for),
`dataset` (files and cache), `clips` (which clips there are), `sound` (how a machine is heard), `machines` (what it is),
`recipes` (how each type is built), `faults` (what breaks), `factories` (what else is heard) and `signals` (noises and
blows).
"""
