"""Trains the class head, and measures it on shops it has not seen.

Each vendor is left out in turn, all its platforms together, and so is every template of our own
lists that one of its routes has: what is measured is what the model makes of a stranger. Page loads
are left out by site. Predictions are pooled. The hand-labelled log of a real shop is only measured.
"""

import gzip
import re

import numpy as np

import bots
import corpus
import labels
import trackers
from corpus import CLASSES, Request
from measures import f1, macro_f1, recall
from network import Perceptron

HIDDEN = 24
# Page loads are left out in this many parts, by site.
SITE_FOLDS = 4
# A class with fewer routes is not measured: one row would be a twentieth of its score.
ROWS_MIN = 20

# Classes of a better rank than browse in the shipped policy.
ABOVE_BROWSE = ["checkout", "cart", "account", "static", "api"]

LOG = "logs/woocommerce-store.log.gz"

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


class Corpus:
    """Requests as arrays: a bit a feature, the label, the weight in training."""

    def __init__(self, features, requests):
        self.vectors = features.bits([request.row() for request in requests])
        self.labels = np.array([CLASSES.index(request.label) for request in requests])
        self.sources = np.array([request.source for request in requests])
        self.templates = np.array([request.template or "" for request in requests])
        self.weights = np.array([request.weight for request in requests], np.float32)
        self.requests = requests

    def fit(self, rows, seed, epochs):
        """A network trained on these rows."""
        rows = np.flatnonzero(rows & (self.weights > 0))
        # Classes weigh the square root of what they occur: rare ones count, without outvoting the rest.
        totals = np.bincount(self.labels[rows], self.weights[rows], len(CLASSES))
        weights = self.weights[rows] / np.sqrt(totals)[self.labels[rows]]
        targets = np.eye(len(CLASSES), dtype=np.float32)[self.labels[rows]]
        network = Perceptron(self.vectors.shape[1], HIDDEN, len(CLASSES), seed)
        # Decay and dropped features keep words that were seen once or twice from saying anything.
        return network.fit(self.vectors[rows], targets, weights, epochs, dropped=0.3, decay=0.05, rate=3e-3)


def train(features, data, seed):
    """The class head, its measures, the requests it was trained on, and how sure it is of strange shops."""
    requests = corpus.corpus(data, seed) + trackers.page_loads(data, seed)
    known = Corpus(features, requests)
    bare = Corpus(features, corpus.measured(data, seed) + trackers.bare_page_loads(data, seed))
    measures, confidence = left_out(known, bare, seed)
    network = known.fit(np.full(len(requests), True), seed, epochs=10)
    measures |= on_the_log(features, network, data) | bots.measures(features, data)
    measures["class_demo_confidence_min"] = demo_confidence(features, network)
    measures["class_requests"] = len(requests)
    return network, measures, known, confidence


def left_out(known, bare, seed):
    """Measures of predictions for bare requests of what training did not see, and how sure they are."""
    guesses, confidence = np.full(len(bare.labels), -1), np.zeros(len(bare.labels), np.float32)
    parts = zip(folds(known), folds(bare), strict=True)
    for (name, unseen), (_, out) in parts:
        own = (known.sources == "written") & np.isin(known.templates, np.unique(bare.templates[out]))
        network = known.fit(~unseen & ~own, seed, epochs=6)
        scores = network.predict(bare.vectors[out])
        guesses[out], confidence[out] = scores.argmax(1), scores.max(1)
        share = np.mean(bare.labels[out] == guesses[out])
        print(f"  without {name}: {share:.3f} right of {out.sum()}", flush=True)
    pages = bare.sources == "pages"
    by_path = pages & ~((bare.labels == CLASSES.index("analytics")) & (bare.weights <= trackers.BY_HOST))
    measures = (
        summary("class_vendor_left_out", bare, guesses, ~pages)
        | summary("class_storefronts_left_out", bare, guesses, ~pages & (bare.sources != "commercetools"))
        | summary("class_page_loads_left_out", bare, guesses, by_path)
        | {"class_page_loads_beacons_above_browse": promoted(bare.labels[by_path], guesses[by_path])}
    )
    return measures, confidence[~pages]


def promoted(truth, guess):
    """The share of beacons that are taken for what a shop sheds after its pages."""
    beacons = guess[truth == CLASSES.index("analytics")]
    return float(np.mean(np.isin(beacons, [CLASSES.index(label) for label in ABOVE_BROWSE])))


def folds(known):
    for vendor in sorted(set(known.sources) - {"written", "pages"}):
        yield vendor, known.sources == vendor
    pages = known.sources == "pages"
    site = np.array([sum(name.encode()) % SITE_FOLDS for name in known.templates])
    for part in range(SITE_FOLDS):
        yield f"sites {part}", pages & (site == part)


def summary(name, known, guesses, rows):
    truth, guess = known.labels[rows], guesses[rows]
    routes = [set(known.templates[rows & (known.labels == index)]) for index in range(len(CLASSES))]
    counted = [index for index in range(len(CLASSES)) if len(routes[index]) >= ROWS_MIN]
    print(f"  {name}:")
    for index in range(len(CLASSES)):
        print("   ", f"{CLASSES[index]:9}", *(f"{np.sum((truth == index) & (guess == other)):6}" for other in range(8)))
    measures = {f"{name}_macro_f1": macro_f1(truth, guess, counted), f"{name}_accuracy": np.mean(truth == guess)}
    for label in ("checkout", "cart"):
        if CLASSES.index(label) in counted:
            measures[f"{name}_{label}_recall"] = recall(truth, guess, CLASSES.index(label))
    return measures | {f"{name}_{CLASSES[index]}_f1": f1(truth, guess, index) for index in counted}


def on_the_log(features, network, data):
    """Measures on the hand-labelled lines of a real shop's log."""
    source = data / LOG
    truth = labels.of("woocommerce-store.tsv", source)
    with gzip.open(source, "rt", encoding="utf-8", errors="replace") as file:
        lines = {number: line for number, line in enumerate(file, start=1) if number in truth}
    requests = [logged(lines[number], truth[number]) for number in sorted(truth)]
    guess = network.predict(features.bits([request.row() for request in requests])).argmax(1)
    right = np.array([CLASSES[index] for index in guess]) == [request.label for request in requests]
    lost = sum(
        request.label == "checkout" and CLASSES[index] not in ("checkout", "cart")
        for request, index in zip(requests, guess, strict=True)
    )
    for request, index in zip(requests, guess, strict=True):
        if request.label != CLASSES[index]:
            print(f"  log: {request.label} taken for {CLASSES[index]}")
    return {"class_log_accuracy": right.mean(), "class_log_checkout_below_cart": lost, "class_log_lines": len(right)}


def logged(line, label):
    """The request of a line in the combined format; of its header fields the log has the agent only."""
    fields = line.split('"')
    method, url = fields[1].split(" ")[:2]
    agent = fields[5] if len(fields) > 5 and fields[5] != "-" else None
    agent = {"user-agent": re.sub(r"[^ -~]", "?", agent)} if agent else {}
    return Request(method, url, label, "log", headers=agent)


def demo_confidence(features, network):
    """Fails the training if a bare client's demo requests are not classed right and surely."""
    lines = [line.split() for line in DEMO.split("\n") if line]
    requests = [Request(method, url, label, "demo") for label, method, url in lines]
    scores = network.predict(features.bits([request.row() for request in requests]))
    sure = [row[CLASSES.index(request.label)] for request, row in zip(requests, scores, strict=True)]
    assert min(sure) > 0.8, f"the demo shop's requests are not classed surely enough: {sure}"
    return float(min(sure))
