"""What a window's labelled pairs say of a classifier of several classes, from exact sums and a confusion matrix."""

import numpy as np

from detectors.sketch import LOSS_CLIP, Floats, Ints


def class_losses(probabilities: Floats, labels: Ints) -> Floats:
    """Log-loss of each pair, in nats; probabilities below ``LOSS_CLIP`` count as that.

    Args:
        probabilities: one row per pair, one column per class.
        labels: column of the class that happened; one beyond the last for a class that the model does not know.
    """
    known = np.column_stack([probabilities, np.zeros(len(probabilities))])
    losses: Floats = -np.log(np.clip(known[np.arange(len(labels)), labels], LOSS_CLIP, 1.0))
    return losses
