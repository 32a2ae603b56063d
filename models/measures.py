"""The measures the model card reports."""

import numpy as np


def macro_f1(truth, guess, classes):
    """The mean F1 of the classes that occur in the truth."""
    scores = []
    for index in range(classes):
        both = np.sum((truth == index) & (guess == index))
        either = np.sum(truth == index) + np.sum(guess == index)
        if np.any(truth == index):
            scores.append(2 * both / either)
    return float(np.mean(scores))


def auc(truth, score):
    """The area under the ROC curve, by ranks; ties count half."""
    truth, score = np.asarray(truth, bool), np.asarray(score)
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positives, negatives = truth.sum(), (~truth).sum()
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))
