"""The measures the model card reports."""

import numpy as np


def f1(truth, guess, label):
    """The harmonic mean of a class's recall and precision."""
    both = np.sum((truth == label) & (guess == label))
    return float(2 * both / (np.sum(truth == label) + np.sum(guess == label)))


def macro_f1(truth, guess, classes):
    """The mean F1 of these classes."""
    return float(np.mean([f1(truth, guess, label) for label in classes]))


def recall(truth, guess, label):
    """The share of a class's rows that are found."""
    return float(np.mean(guess[truth == label] == label))


def share_interval(share, count):
    """The 95 % interval of a share that was found among so many (Wilson 1927): one that all or none of a few have is
    not certain."""
    spread = 1.96**2 / count
    middle, half = share + spread / 2, np.sqrt(spread * (share * (1 - share) + spread / 4))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def auc(truth, score):
    """The area under the ROC curve, by ranks; ties count half."""
    truth, score = np.asarray(truth, bool), np.asarray(score)
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positives, negatives = truth.sum(), (~truth).sum()
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_interval(truth, score, seed, rounds=400):
    """The 95 % interval of the AUC, by resampling the rows."""
    truth, score = np.asarray(truth, bool), np.asarray(score)
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(truth), len(truth)) for _ in range(rounds))
    low, high = np.percentile([auc(truth[rows], score[rows]) for rows in drawn], [2.5, 97.5])
    return float(low), float(high)


def auc_gain_interval(truth, before, after, whose, seed, rounds=400):
    """The 95 % interval of what the AUC gains from one score to another on the same rows, by resampling
    those `whose` they are: rows of one session are drawn together."""
    truth, before, after = np.asarray(truth, bool), np.asarray(before), np.asarray(after)
    random = np.random.default_rng(seed)
    _, begins = np.unique(whose, return_index=True)
    sessions = np.split(np.arange(len(truth)), begins[1:])
    gains = []
    for _ in range(rounds):
        rows = np.concatenate([sessions[drawn] for drawn in random.integers(0, len(sessions), len(sessions))])
        gains.append(auc(truth[rows], after[rows]) - auc(truth[rows], before[rows]))
    low, high = np.percentile(gains, [2.5, 97.5])
    return float(low), float(high)


def calibration_error(truth, score, weight=None, bins=15):
    """The expected calibration error: how far the share of positives is from the score, in bins of
    equally many rows (Naeini et al. 2015). A row counts as its `weight` says, or once."""
    order = np.argsort(score, kind="stable")
    weight = np.ones(len(order)) if weight is None else np.asarray(weight, float)
    apart = (np.asarray(truth, float) - np.asarray(score))[order]
    parts = zip(np.array_split(apart, bins), np.array_split(weight[order], bins), strict=True)
    return float(sum(abs(np.sum(apart * weight)) for apart, weight in parts) / weight.sum())
