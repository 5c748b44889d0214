"""The terms of the page, for a reader from outside the field."""

GLOSSARY = {
    "Anomaly score": "How far a recording lies from the machine's normal recordings. Higher is more unusual. Scores of "
    "different machines, or of different runs, are not on one scale.",
    "Threshold": "The score above which a recording raises an alarm. It is set from normal recordings alone.",
    "False-alarm rate (FAR)": "Share of normal recordings that raised an alarm.",
    "Recall": "Share of faulty recordings that raised an alarm. The others were missed.",
    "F1": "One figure for recall and the share of alarms that are right (their harmonic mean); 1 is perfect. It "
    "depends on how many faulty recordings were in the test.",
    "ROC curve": "For every possible threshold, the share of faults found against the share of false alarms. "
    "The nearer to the upper left corner, the better; the diagonal is guessing.",
    "AUC": "Area under the ROC curve: how often a random faulty recording gets a higher score than a random normal "
    "one. 1 is perfect, 0.5 is guessing. It does not depend on the threshold.",
    "pAUC": "The same for few false alarms only (up to 10 %), rescaled so that guessing is again 0.5.",
    "95 % interval (CI)": "Where the figure would lie for other recordings of the same machine, in 95 of 100 cases "
    "(Newcombe's method). With few recordings it is wide, even where all of them were ranked rightly.",
    "Client": "One site that takes part and keeps its recordings to itself.",
    "Embedding": "A recording turned into a list of numbers by a neural network.",
    "Encoder (f_c)": "The fixed network with which each client makes its embeddings.",
    "ID classifier (f_s)": "The network that the server trains from all clients' embeddings, to tell the machines "
    "apart. It sharpens what is normal for each of them.",
    "ID accuracy (ID acc.)": "Share of normal recordings that the ID classifier assigned to the right machine.",
    "Log-mel spectrogram": "A picture of a sound: time to the right, pitch upwards, louder is brighter. The pitch "
    "scale is spaced as human hearing is.",
    "Heat map": "Orange marks when and at which pitch a recording departs from the most similar normal one: how much "
    "the score falls when that patch is replaced by the normal one's.",
    "Map of embeddings": "The two directions in which the normal recordings differ most (principal components). "
    "What lies close there is similar, but much of the detail does not fit into two dimensions.",
    "Manifest": "The list of all recordings of a run with their fingerprints. Runs with the same manifest hash used "
    "the same recordings.",
}
