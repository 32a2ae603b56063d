"""Writes a bundle: the model, golden vectors that every load must reproduce, manifest and card."""

import hashlib
import json

import numpy as np
from onnx.checker import check_model
from onnx.reference import ReferenceEvaluator

GOLDEN_VECTORS = 48
GOLDEN_TOLERANCE = 1e-4

PROVENANCE = [
    {
        "name": "routes of ten shop platforms (public API specifications)",
        "licence": "MIT, BSD",
        "use": "class head; labels guessed by a regular expression, corrected by rules",
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
        "name": "Online Shoppers Purchasing Intention, UCI 468 (Sakar, Kastro 2018)",
        "licence": "CC BY 4.0",
        "use": "value head: totals cut at random, the funnel simulated",
    },
]


def write(directory, model, schema, classes, measures, seed, requests, views):
    check_model(model, full_check=True)
    directory.mkdir(exist_ok=True)
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "golden.json": golden(model, requests, views, seed),
        "MODEL_CARD.md": card(measures).encode(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    manifest = {
        "format": 1,
        "name": "storefront",
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "schema": schema,
        "classes": classes,
        "operators": sorted({node.op_type for node in model.graph.node}),
        "golden_tolerance": GOLDEN_TOLERANCE,
        "seed": seed,
        "measures": measures,
        "data": PROVENANCE,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def golden(model, requests, views, seed):
    """Vectors and what the model answers. A request is the list of its features that hold."""
    random = np.random.default_rng(seed)
    evaluator = ReferenceEvaluator(model)
    vectors = []
    drawn = (random.choice(vectors, GOLDEN_VECTORS) for vectors in (requests, views))
    for request, view in zip(*drawn, strict=True):
        scores, value = evaluator.run(None, {"request": request[None], "session": view[None]})
        vectors.append(
            {
                "request": np.flatnonzero(request).tolist(),
                "session": [round(float(number), 7) for number in view],
                "class": [round(float(score), 7) for score in scores[0]],
                "value": round(float(value[0, 0]), 7),
            }
        )
    return ("[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]\n").encode()


def card(measures):
    lines = "\n".join(f"| {name} | {value} |" for name, value in measures.items())
    return f"""# Model card: storefront

**What it does.** Two small perceptrons in one ONNX file. The class head reads one request (hashed
words of path and query, header kinds) and gives the probabilities of eight classes. The value head
reads a session so far (counts, times, stage, entry) and ranks it by how likely it ends in a
purchase; 0.5 is as likely as not if half of all sessions bought. It is no probability.

**What it is for.** Telling Plimsoll what an unrouted request is, and which of two requests of one
class to keep in overload. Routes written in a policy always win over it. It is not for pricing,
fraud, or any decision about a person; it sees no names, addresses, cookies or bodies.

**Measures.**

| measure | value |
|---|---|
{lines}

`platform_left_out`: each shop platform in turn is kept out of training and then classed; labels are
partly a corrected guess, so the figure is a floor of a kind, not gold. The `back_office` platform is a
management interface, foreign to storefronts, and counted apart. `without_funnel`: cart and
checkout are hidden, so that only what the data set really records counts.

**Limits.** The funnel of the sessions is simulated (7 of 10 carts, 4 of 10 checkouts abandoned):
how much a cart raises the value rests on that, not on data. Hour, weekday within week or weekend,
entry and searches are drawn without regard to purchases: they carry next to no weight. Paths in
scripts other than Latin, and opaque paths, fall back on method and headers. An attacker can choose a
path that looks like a checkout: value and class are no proof of intent.

**Looked at.** The log of a WooCommerce shop is not trained on, but its errors were read while the
lists in `paths/` were written (sitemaps, feeds, `OPTIONS *`): figures on that log flatter the model.

**Data.** See `manifest.json`. The UCI set is by C. Okan Sakar and Yomi Kastro, CC BY 4.0.
"""
