"""Trains the value head: the probability that a session buys, from what a proxy knows of it so far.

Trained and held back on one shop's sessions, cut at random (see sessions.py); then calibrated on
sessions that it was not fitted to, the correction folded into the last layer. Measured beside a
logistic regression on the same vectors, and on another shop at the start of its sessions: there is
no other honest comparison, for that shop's totals are of sessions that are over.
"""

import numpy as np

import sessions
from measures import auc, auc_interval, calibration_error
from network import Perceptron

HIDDEN = 32
# The parts of the sessions that are held back and that the calibration is fitted to; the rest trains.
HELD_BACK, CALIBRATING = 0.2, 0.15
# Cuts of a session: more than a few repeat what is known of it.
CUTS_TRAINING, CUTS_MEASURED = 12, 3


def train(features, data, seed):
    """The value head, its measures, and the vectors it was trained on."""
    known = list(sessions.online_shoppers(data))
    held_back, calibrating, training = split(known, seed)
    vectors, bought = cut(features, training, seed, CUTS_TRAINING)
    network = fit(vectors, bought, HIDDEN, seed)
    network = calibrated(network, *cut(features, calibrating, seed + 1, CUTS_MEASURED))
    baseline = fit(vectors, bought, 0, seed)

    measures = {"value_sessions": len(training)}
    for name, funnel in (("", True), ("_without_funnel", False)):
        measured, truth = cut(features, held_back, seed + 2, CUTS_MEASURED, funnel)
        value = network.predict(measured)[:, 0]
        measures |= {
            f"value_auc_held_back{name}": auc(truth, value),
            f"value_auc_held_back{name}_logistic": auc(truth, baseline.predict(measured)[:, 0]),
            f"value_calibration_error{name}": calibration_error(truth, value),
        }
    return network, measures | elsewhere(features, data, network, baseline, seed), vectors


def elsewhere(features, data, network, baseline, seed):
    """Measures on another shop, of sessions at their second request."""
    rows, bought = sessions.starts(sessions.merch_store(data))
    _, vectors = features.of(rows)
    measures = {"value_transfer_sessions": len(bought)}
    for name, head in (("", network), ("_logistic", baseline)):
        value = head.predict(vectors)[:, 0]
        low, high = auc_interval(bought, value, seed)
        measures |= {
            f"value_transfer_auc{name}": auc(bought, value),
            f"value_transfer_auc{name}_low": low,
            f"value_transfer_auc{name}_high": high,
        }
    return measures


def split(known, seed):
    """The sessions that are held back, that calibrate, that train."""
    order = np.random.default_rng(seed).permutation(len(known))
    held_back = round(len(known) * HELD_BACK)
    calibrating = held_back + round(len(known) * CALIBRATING)
    return [[known[index] for index in part] for part in np.split(order, [held_back, calibrating])]


def cut(features, known, seed, copies, funnel=True):
    """Vectors and labels of sessions cut in the middle."""
    rows, bought = sessions.prefixes(known, seed, copies, funnel)
    return features.of(rows)[1], np.array(bought)


def fit(vectors, bought, hidden, seed):
    """A network fitted to the log loss, with the scaling in its first layer."""
    mean, deviation = vectors.mean(0), np.maximum(vectors.std(0), 0.05)
    network = Perceptron(vectors.shape[1], hidden, 1, seed)
    targets = bought.astype(np.float32)[:, None]
    weights = np.ones(len(bought), np.float32)
    network.fit((vectors - mean) / deviation, targets, weights, epochs=40, rate=3e-3, decay=0.03)
    return network.scaled(mean, deviation)


def calibrated(network, vectors, bought):
    """The network with its score stretched and moved to fit the log loss (Platt 1999)."""
    score = network.scores(vectors)[:, 0].astype(np.float64)
    slope, offset = 1.0, 0.0
    for _ in range(50):
        value = 1 / (1 + np.exp(-(slope * score + offset)))
        weight = value * (1 - value)
        gradient = np.array([np.sum((value - bought) * score), np.sum(value - bought)])
        cross = np.sum(weight * score)
        hessian = np.array([[np.sum(weight * score * score), cross], [cross, np.sum(weight)]])
        slope, offset = np.array([slope, offset]) - np.linalg.solve(hessian, gradient)
    return network.stretched(slope, offset)
