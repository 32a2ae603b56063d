"""Writes a bundle: the model, golden vectors that every load must reproduce, manifest, seal and card."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
from onnx.checker import check_model
from onnx.reference import ReferenceEvaluator

FORMAT = 2
GOLDEN_VECTORS = 48
GOLDEN_TOLERANCE = 1e-4
# Bins of a histogram: ten are customary for the population stability index.
BINS = 10

# The session features whose training distribution is data, or an assumption worth watching. The
# others are drawn at random (searches, requests) or not listened to (hour, weekday, entry, returning).
WATCHED = [
    "views.log",
    "carts.log",
    "checkouts.log",
    "age_s.log",
    "idle_s.log",
    "stage.arrived",
    "stage.browsing",
    "stage.cart",
    "stage.checkout",
]

CARD = Path(__file__).parent / "card.md"
# What compare.py and learning_loop.py measured, and of which model.
COMPARISON = Path(__file__).parent / "comparison.json"
LOOP = Path(__file__).parent / "learning_loop.json"

PROVENANCE = [
    {
        "name": "routes of ten shop platforms (public API specifications)",
        "licence": "MIT, BSD",
        "use": "class head; labelled by hand (models/labels)",
    },
    {
        "name": "paths of storefronts in many languages, written for Plimsoll",
        "licence": "Apache-2.0",
        "use": "class head",
    },
    {
        "name": "URLs of top-500 page loads (adblock-rust test data)",
        "licence": "MPL-2.0",
        "use": "class head: beacons and assets; labelled with EasyPrivacy, which is not part of the bundle",
    },
    {
        "name": "agents of crawlers (crawler-user-agents)",
        "licence": "MIT",
        "use": "class head: the words of the bot flag",
    },
    {
        "name": "Online Shoppers Purchasing Intention, UCI 468 (Sakar, Kastro 2018)",
        "licence": "CC BY 4.0",
        "use": "value head: totals cut at random, the funnel simulated",
    },
]


# More shop words than that in one request are one bin, here as in the proxy.
NOUNS_WATCHED_MAX = 4

# How sure the class head is of shops it has not seen.
CONFIDENCE = "class.confidence"


def write(directory, model, examples, manifest, card):
    """Writes a bundle. `examples` are the request and session vectors to draw golden ones from; `manifest`
    has the features' schema, classes, seed, measures, histograms and the data it was trained on."""
    check_model(model, full_check=True)
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "golden.json": golden(model, *examples, manifest["seed"]),
        "MODEL_CARD.md": card.encode(),
    }
    manifest = {
        "format": FORMAT,
        "name": "storefront",
        "files": {name: digest(content) for name, content in files.items()},
        "operators": sorted({node.op_type for node in model.graph.node}),
        "golden_tolerance": GOLDEN_TOLERANCE,
    } | manifest
    files["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    files["manifest.sha256"] = (digest(files["manifest.json"]) + "\n").encode()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def golden(model, requests, views, seed):
    """Vectors and what the model answers. A request is the list of its features that hold."""
    random = np.random.default_rng(seed)
    evaluator = ReferenceEvaluator(model)
    vectors = []
    drawn = (random.choice(vectors, GOLDEN_VECTORS) for vectors in (requests, views))
    for request, view in zip(*drawn, strict=True):
        inputs = {"request": request[None].astype(np.float32), "session": view[None]}
        scores, value = evaluator.run(None, inputs)
        vectors.append(
            {
                "request": np.flatnonzero(request).tolist(),
                "session": [round(float(number), 7) for number in view],
                "class": [round(float(score), 7) for score in scores[0]],
                "value": round(float(value[0, 0]), 7),
            }
        )
    return ("[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]\n").encode()


def histograms(names, views):
    """How the watched features were distributed: upper bounds of all bins but the last, and shares."""
    return {name: histogram(views[:, names.index(name)]) for name in WATCHED}


def request_histograms(names, requests, weights):
    """How the training's requests were distributed, as the proxy watches them: header fields by the place of
    their value, flags, and how many shop words are named; a row counts by its weight in training."""
    fields = [name for name in names if not name.startswith(("token.", "noun."))]
    groups = dict.fromkeys(name.rpartition(".")[0] for name in fields)
    columns = {group: [index for index, name in enumerate(names) if name.startswith(f"{group}.")] for group in groups}
    flags = columns.pop("has")
    watched = {f"request.{group}": (requests[:, columns[group]].argmax(1), len(columns[group])) for group in columns}
    watched |= {f"request.{names[flag]}": (requests[:, flag], 2) for flag in flags}
    nouns = [index for index, name in enumerate(names) if re.fullmatch(r"noun\..*\.there", name)]
    watched["request.nouns"] = np.minimum(requests[:, nouns].sum(1, int), NOUNS_WATCHED_MAX), NOUNS_WATCHED_MAX + 1
    return {name: counted(values, bins, weights) for name, (values, bins) in watched.items()}


def counted(values, bins, weights):
    """The histogram of whole numbers from 0: a bin each."""
    totals = np.bincount(values, weights, bins)
    return {"edges": [place + 0.5 for place in range(bins - 1)], "shares": (totals / totals.sum()).tolist()}


def histogram(values):
    quantiles = np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="lower").astype(np.float32))
    # A bound at the maximum has nothing above it.
    edges = quantiles[quantiles < values.max()]
    if not len(edges):
        edges = np.array([(values.min() + values.max()) / 2], np.float32)
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return {"edges": [float(edge) for edge in edges], "shares": [float(count) for count in counts / len(values)]}


def measured_apart(model):
    """What compare.py and learning_loop.py measured of this very model; nothing of any other."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (COMPARISON, LOOP)]
    own = digest(model.SerializeToString(deterministic=True))
    return {name: value for one in found if one["model"] == own for name, value in one["measures"].items()}


def shipped_card(measures):
    lines = "\n".join(f"| {name} | {value} |" for name, value in measures.items())
    return CARD.read_text(encoding="utf-8").replace("{measures}", lines)
