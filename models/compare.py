"""Compares the value head's features with LightGBM on the same vectors: `python models/compare.py --data DIR`.

Evaluation only: a forest takes a hundred times longer on the request path, and is not shipped. Needs
requirements-evaluation.txt.
"""

import argparse
from pathlib import Path

import lightgbm
import sessions
import value_head
from measures import auc, auc_interval, calibration_error
from train import HERE, SEED, Features


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments = arguments.parse_args()

    features = Features(arguments.plimsoll)
    heard = value_head.is_heard(features)
    network, measures, _ = value_head.train(features, arguments.data, SEED)
    held_back, calibrating, training = value_head.split(list(sessions.online_shoppers(arguments.data)), SEED)
    for funnel in (True, False):
        # Both see what they are measured on: with the simulated funnel, and with what the set records.
        vectors, bought = value_head.cut(features, training, SEED, value_head.CUTS_TRAINING, funnel)
        trees = lightgbm.LGBMClassifier(
            n_estimators=150, num_leaves=15, learning_rate=0.05, min_child_samples=100, random_state=SEED, n_jobs=1, verbose=-1
        ).fit(vectors[:, heard], bought)
        measured, truth = value_head.cut(features, held_back, SEED + 2, value_head.CUTS_MEASURED, funnel)
        score = trees.predict_proba(measured[:, heard])[:, 1]
        own = network if funnel else value_head.fit(vectors, bought, value_head.HIDDEN, SEED, heard)
        value = own.predict(measured)[:, 0]
        print(
            f"{'with' if funnel else 'without'} funnel: perceptron {auc(truth, value):.4f} {auc_interval(truth, value, SEED)}"
            f" LightGBM {auc(truth, score):.4f} {auc_interval(truth, score, SEED)},"
            f" calibration {calibration_error(truth, value):.4f} and {calibration_error(truth, score):.4f}"
        )
    print(measures)


if __name__ == "__main__":
    main()
