"""Trains both heads and writes the bundle: `python models/train.py --data DIR [--plimsoll BINARY]`.

The features come from the proxy's own code (`plimsoll features`). Everything is seeded: the same
data and versions give the same bundle (`make reproduce` shows it).
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

# Before NumPy reads it: sums that several threads share are added in another order each time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

import bundle
import class_head
import sources
import value_head
from corpus import CLASSES
from network import onnx_model

SEED = 20261120
HERE = Path(__file__).parent
# Rows in one call: their vectors take 50 MiB.
ROWS_A_CALL = 10_000


class Features:
    """The proxy's own feature code."""

    def __init__(self, binary):
        self.binary = binary
        self.schema = json.loads(self.call(["--schema"], b""))
        self.widths = len(self.schema["request"]), len(self.schema["session"])

    def call(self, arguments, data):
        return subprocess.run(
            [self.binary, "features", *arguments], input=data, check=True, stdout=subprocess.PIPE
        ).stdout

    def of(self, rows):
        """The request vectors, a byte a feature, and the session vectors of request rows."""
        parts = [self.part(rows[start : start + ROWS_A_CALL]) for start in range(0, len(rows), ROWS_A_CALL)]
        requests, views = zip(*parts, strict=True)
        return np.concatenate(requests), np.concatenate(views)

    def bits(self, rows):
        """The request vectors alone."""
        return self.of(rows)[0]

    def part(self, rows):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        table = np.frombuffer(self.call(["-"], lines.encode()), "<f4").reshape(len(rows), -1)
        return table[:, : self.widths[0]].astype(np.uint8), table[:, self.widths[0] :].copy()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments.add_argument("--out", type=Path, default=HERE / "storefront")
    arguments = arguments.parse_args()

    sources.require(arguments.data)
    started = time.monotonic()
    features = Features(arguments.plimsoll)
    classes, measures, known, confidence = class_head.train(features, arguments.data, SEED)
    value, value_measures, views = value_head.train(features, arguments.data, SEED)
    measures = {name: round(float(number), 4) for name, number in (measures | value_measures).items()}
    model = onnx_model([("request", "class", classes), ("session", "value", value)])
    measures |= bundle.measured_apart(model)
    print(json.dumps(measures, indent=2))

    histograms = bundle.histograms(features.schema["session"], views)
    histograms |= bundle.request_histograms(features.schema["request"], known.vectors, known.weights)
    manifest = {
        "schema": features.schema,
        "classes": CLASSES,
        "seed": SEED,
        "measures": measures,
        "histograms": histograms | {bundle.CONFIDENCE: bundle.histogram(confidence)},
        "data": bundle.PROVENANCE,
    }
    bundle.write(arguments.out, model, (known.vectors, views), manifest, bundle.shipped_card(measures))
    print(f"trained in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
