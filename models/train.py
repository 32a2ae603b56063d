"""Trains both heads and writes the bundle: `python models/train.py --data DIR [--plimsoll BINARY]`.

The features come from the proxy's own code (`plimsoll features`). Everything is seeded: the same
data and versions give the same bundle.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

import bundle
import corpus
import sessions
import trackers
from corpus import CLASSES, Request
from measures import auc, macro_f1
from network import Perceptron, onnx_model

SEED = 20261120
HIDDEN = {"class": 32, "value": 16}
HERE = Path(__file__).parent

# What the demo's shop serves; the model alone must get these right.
DEMO = """
browse GET /
browse GET /category/shoes
browse GET /product/17
search GET /search?q=red
cart GET /cart
cart POST /cart/add
checkout GET /checkout
checkout POST /checkout
analytics POST /collect
account GET /account
static GET /static/app.js
"""


class Features:
    """The proxy's own feature code."""

    def __init__(self, binary):
        self.binary = binary
        self.schema = json.loads(self.call(["--schema"], b""))
        self.widths = len(self.schema["request"]), len(self.schema["session"])

    def call(self, arguments, data):
        return subprocess.run(
            [self.binary, "features", *arguments], input=data, check=True, capture_output=True
        ).stdout

    def of(self, rows):
        """The request vectors and the session vectors of request rows."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        table = np.frombuffer(self.call(["-"], lines.encode()), "<f4").reshape(len(rows), -1)
        return table[:, : self.widths[0]], table[:, self.widths[0] :]


def train_class(features, data):
    """The class head and its measures."""
    requests = corpus.corpus(data, SEED) + trackers.page_loads(data, SEED)
    vectors, _ = features.of([request.row() for request in requests])
    labels = np.array([CLASSES.index(request.label) for request in requests])
    platforms = np.array([request.platform for request in requests])
    weights = np.array([request.weight for request in requests], np.float32)

    shops = sorted(set(platforms) - {"written", "pages"})
    guesses = np.full(len(labels), -1)
    for platform in shops:
        out = platforms == platform
        network = fit_class(vectors[~out], labels[~out], weights[~out], epochs=6)
        guesses[out] = network.predict(vectors[out]).argmax(1)
        print(f"  without {platform}: accuracy {np.mean(labels[out] == guesses[out]):.3f} of {out.sum()}")
    back_office = platforms == "commercetools"
    front = np.isin(platforms, shops) & ~back_office

    network = fit_class(vectors, labels, weights)
    fitted = network.predict(vectors).argmax(1)
    measures = {
        "class_macro_f1_platform_left_out": macro_f1(labels[front], guesses[front], len(CLASSES)),
        "class_accuracy_platform_left_out": np.mean(labels[front] == guesses[front]),
        "class_accuracy_back_office_left_out": np.mean(labels[back_office] == guesses[back_office]),
        "class_macro_f1_training": macro_f1(labels, fitted, len(CLASSES)),
        "class_requests": len(requests),
    }
    return network, measures, vectors


def fit_class(vectors, labels, weights, epochs=14):
    # Classes weigh the square root of what they occur: rare ones count, without outvoting the rest.
    totals = np.bincount(labels, weights, len(CLASSES))
    weights = weights / np.sqrt(totals)[labels]
    targets = np.eye(len(CLASSES), dtype=np.float32)[labels]
    network = Perceptron(vectors.shape[1], HIDDEN["class"], len(CLASSES), SEED)
    return network.fit(vectors, targets, weights, epochs, dropped=0.15)


def train_value(features, data):
    """The value head and its measures."""
    known = list(sessions.online_shoppers(data))
    order = np.random.default_rng(SEED).permutation(len(known))
    held_out, training = ([known[index] for index in part] for part in np.split(order, [len(known) // 5]))

    rows, bought = sessions.prefixes(training, SEED, copies=5)
    _, vectors = features.of(rows)
    mean, deviation = vectors.mean(0), np.maximum(vectors.std(0), 0.05)
    network = Perceptron(vectors.shape[1], HIDDEN["value"], 1, SEED)
    targets = np.array(bought, np.float32)[:, None]
    # Buyers weigh as much as all others: the value then spreads over [0, 1] around the average
    # session's 0.5, where plain odds would crowd near 0 and be one cohort.
    weights = np.where(bought, 1 / np.mean(bought), 1 / (1 - np.mean(bought)))
    network.fit((vectors - mean) / deviation, targets, weights, epochs=12, rate=1e-3)
    network = network.scaled(mean, deviation)

    def measured(known, funnel):
        rows, bought = sessions.prefixes(known, SEED + 1, copies=3, funnel=funnel)
        return auc(bought, network.predict(features.of(rows)[1])[:, 0])

    measures = {
        "value_auc_held_out": measured(held_out, True),
        "value_auc_held_out_without_funnel": measured(held_out, False),
        "value_auc_other_shop_without_funnel": measured(list(sessions.merch_store(data)), False),
        "value_sessions": len(training),
    }
    return network, measures, vectors


def check_demo(features, network):
    """Fails the training if a bare client's demo requests are not classed right and surely."""
    lines = [line.split() for line in DEMO.split("\n") if line]
    requests = [Request(method, url, label, "demo") for label, method, url in lines]
    scores = network.predict(features.of([request.row() for request in requests])[0])
    sure = []
    for request, row in zip(requests, scores, strict=True):
        sure.append(float(row[CLASSES.index(request.label)]))
        print(f"  {request.method:4} {request.url:18} {CLASSES[row.argmax()]:9} {sure[-1]:.3f}")
    assert min(sure) > 0.8, "the demo shop's requests are not classed surely enough"
    return min(sure)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments.add_argument("--out", type=Path, default=HERE / "storefront")
    arguments = arguments.parse_args()

    features = Features(arguments.plimsoll)
    class_head, measures, requests = train_class(features, arguments.data)
    value_head, value_measures, views = train_value(features, arguments.data)
    measures |= value_measures | {"demo_confidence_min": check_demo(features, class_head)}
    measures = {name: round(float(value), 4) for name, value in measures.items()}
    print(json.dumps(measures, indent=2))

    model = onnx_model([("request", "class", class_head), ("session", "value", value_head)])
    bundle.write(arguments.out, model, features.schema, CLASSES, measures, SEED, requests, views)


if __name__ == "__main__":
    main()
