"""Sets the bundle's value head beside LightGBM on the same vectors: `python models/compare.py --data DIR`.

Evaluation only: trees are no part of a bundle. What is measured goes into comparison.json, with the digest of
the model that it is about: the next training that makes this very model tells it in the manifest and the card,
and any other training leaves it out. Needs requirements-evaluation.txt.
"""

import argparse
import json
from pathlib import Path

import lightgbm
import numpy as np

import bundle
import sessions
import value_head
from learn import head
from measures import auc, auc_gain_interval, calibration_error
from train import HERE, SEED, Features

# Of four settings that were tried, LightGBM's own among them, the one with the highest AUC on what the shipped head
# hears, of the very sessions that are held back: the choice is in favour of the trees.
TREES = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 100}
# One thread and one order of sums, so that the figures are the same everywhere.
REPEATABLE = {"seed": SEED, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1}
ROUNDS = 150


def trees(vectors, bought):
    """LightGBM fitted to what the perceptron is fitted to."""
    return lightgbm.train(TREES | REPEATABLE, lightgbm.Dataset(vectors, label=bought), num_boost_round=ROUNDS)


def beside(name, network, known, measured, heard):
    """Measures of a perceptron and of trees that hear the same features. `known` and `measured` are vectors,
    whether their sessions bought, and whose they are."""
    (vectors, bought, _), (unseen, truth, whose) = known, measured
    own = network.predict(unseen)[:, 0]
    other = trees(vectors[:, heard], bought).predict(unseen[:, heard])
    low, high = auc_gain_interval(truth, other, own, whose, SEED)
    return {
        f"value_auc_{name}": auc(truth, own),
        f"value_auc_{name}_lightgbm": auc(truth, other),
        f"value_auc_{name}_over_lightgbm": auc(truth, own) - auc(truth, other),
        f"value_auc_{name}_over_lightgbm_low": low,
        f"value_auc_{name}_over_lightgbm_high": high,
        f"value_calibration_error_{name}_lightgbm": calibration_error(truth, other),
    }


def compared(features, data, shipped):
    """The shipped head, one that hears all features, and one fitted without the simulated funnel."""
    held_back, _, training = value_head.split(list(sessions.online_shoppers(data)), SEED)
    heard = value_head.is_heard(features)
    everything = np.ones_like(heard)

    def parts(funnel):
        known = value_head.cut(features, training, SEED, value_head.CUTS_TRAINING, funnel)
        return known, value_head.cut(features, held_back, SEED + 2, value_head.CUTS_MEASURED, funnel)

    with_funnel, without = parts(True), parts(False)
    hearing = value_head.fit(*with_funnel[0][:2], value_head.HIDDEN, SEED)
    browsing = value_head.fit(*without[0][:2], value_head.HIDDEN, SEED, heard)
    return (
        beside("held_back", shipped, *with_funnel, heard)
        | beside("held_back_of_all_features", hearing, *with_funnel, everything)
        | beside("held_back_fitted_without_funnel", browsing, *without, heard)
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments.add_argument("--bundle", type=Path, default=HERE / "storefront", help="whose value head it is")
    arguments.add_argument("--out", type=Path, default=bundle.COMPARISON)
    arguments = arguments.parse_args()

    model = arguments.bundle / "model.onnx"
    measures = compared(Features(arguments.plimsoll), arguments.data, head(model, "value"))
    # What every training measures itself is not said twice.
    del measures["value_auc_held_back"]
    comparison = {
        "model": bundle.digest(model.read_bytes()),
        "lightgbm": lightgbm.__version__,
        "measures": {name: round(float(number), 4) for name, number in measures.items()},
    }
    arguments.out.write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(comparison, indent=2))


if __name__ == "__main__":
    main()
