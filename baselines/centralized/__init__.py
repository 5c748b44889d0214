"""All recordings in one place: what a network gets out of them that may hear the waveform itself.

References
----------
Y. Liu, J. Guan, Q. Zhu, W. Wang, "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
"""
