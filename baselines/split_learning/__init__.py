"""Split learning of f_s: its first stage at the clients, the rest at the server; activations and gradients travel.

References
----------
O. Gupta and R. Raskar, "Distributed learning of deep neural network over multiple agents", JNCA, 2018.
P. Vepakomma, O. Gupta, T. Swedish, R. Raskar, "Split learning for health", NeurIPS workshop, 2018.
C. Thapa, M. A. P. Chamikara, S. Camtepe, L. Sun, "SplitFed: when federated learning meets split learning", AAAI 2022.
"""
