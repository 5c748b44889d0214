"""Attacks on what is shared, and how far each of them gets: the audit of a recorded run.

Attacks are functions of arrays. What an adversary holds is what was recorded (`view`) and what is declared as its
knowledge; the truth that success is measured against comes from the client's own recordings, which no adversary has.
"""
