"""Trains the value head on a shop's own journal: `python models/learn.py --journal DIR [--running BUNDLE]`.

A journal has samples beside it where the policy's `learning:` asks for them: sessions as they were at some
of their requests, and the orders. Learned from is only whom no model chose: requests of calm times, and
those that drew their value. The class head stays as it is; how often it says what the shop's own routes say is
told (`agreement.py`). The new head replaces the running one if, on sessions that neither was fitted to, it ranks
buyers better beyond doubt, says nothing of them that is further from what they do, and keeps no less order value.
"""

import argparse
import itertools
import json
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import onnx
from onnx import numpy_helper

import agreement
import bundle
import value_head
from measures import auc, calibration_error
from network import Perceptron, onnx_model
from train import HERE, SEED, Features

# An order counts for the requests of its session in the time before it, and a request that is younger than
# that when its process ends is not learned from: whether it bought is not known yet, or never will be, for
# a session has another key in the next process. To keep those that bought already would overstate buyers.
HORIZON_S = 3600.0
# Sessions that are held back and that the calibration is fitted to, of a hundred; the rest trains.
HELD_BACK, CALIBRATING = 30, 15
# Fewer buying sessions among those held back tell no two heads apart.
BUYERS_MIN = 30
# A head whose values are this near to the shares that buy is calibrated well enough, whatever the other one is.
CALIBRATION_ERROR_MAX = 0.03
# The offline estimate asks what would be kept if this share of the requests were let in: 3x overload.
KEPT = 1 / 3
ROUNDS = 400


class Samples:
    """What a journal tells of sessions that no model chose: vectors, whether they bought, for how much.

    It is given the lines of each process that wrote into it."""

    def __init__(self, features, processes):
        orders, self.rows = {}, []
        for lines in processes:
            seen, end = [], 0.0
            for line in lines:
                end = max(end, line["at"])
                if "session" in line:
                    seen.append(line)
                else:
                    orders.setdefault(line["key"], []).append((line["at"], line["order"]))
            # Who drew a value and was refused is not seen to buy. Those who got in are not of every kind equally
            # often (whoever was let in before has a seat first), but of each kind they are whom chance let in.
            unchosen = (one for one in seen if one["decision"] == "admit" and (one["drawn"] or one["value"] is None))
            self.rows += [one for one in unchosen if one["at"] <= end - HORIZON_S]
        fields = ("session", "hour", "weekday")
        asked = [{"url": "/"} | {name: one[name] for name in fields} for one in self.rows]
        self.vectors = features.of(asked)[1] if asked else np.zeros((0, features.widths[1]), np.float32)
        self.bought = np.array([bool(bought(one, orders)) for one in self.rows], bool)
        # Every row stands for as many requests as its chance to be written says.
        self.weight = np.array([1 / one["propensity"] for one in self.rows])
        # An order whose value nobody tells counts as 1; one is shared by the rows of its session.
        rows_of = Counter(one["key"] for one in self.rows)
        worth = (sum(1.0 if value is None else value for value in bought(one, orders)) for one in self.rows)
        self.worth = np.array([value / rows_of[one["key"]] for value, one in zip(worth, self.rows, strict=True)])
        self.session = np.array([crc32(one["key"].encode()) for one in self.rows], np.int64)

    def part(self, low, high):
        """The rows of sessions whose hash is in this part of a hundred."""
        return np.flatnonzero((self.session % 100 >= low) & (self.session % 100 < high))


def bought(request, orders):
    """The values of the orders that a request's session placed after it."""
    return [value for at, value in orders.get(request["key"], ()) if 0 <= at - request["at"] <= HORIZON_S]


def processes(journal):
    """The lines of each process that wrote samples into a journal: `samples-<its start>-<number>.jsonl`."""
    paths = sorted(Path(journal).glob("samples-*-*.jsonl"))
    for _, files in itertools.groupby(paths, key=lambda path: path.name.split("-")[1]):
        yield [line for file in files for line in lines(file)]


def lines(file):
    """The lines of a file, each with the schema of its features; the last one may have broken off."""
    schema = None
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(line)
        except json.JSONDecodeError:
            continue
        # The first one is of the file.
        if "schema" in line:
            schema = line["schema"]
        else:
            line["schema"] = schema
            yield line


def head(model, name):
    """A head of a bundle's model."""
    weights = {one.name: numpy_helper.to_array(one) for one in onnx.load(model).graph.initializer}
    first, offset, second, last = (weights[f"{name}.{part}"] for part in ("w1", "b1", "w2", "b2"))
    # The only output's weights lie in a row; see Perceptron.onnx_nodes.
    second = second if len(second) == len(offset) else second.T
    empty = Perceptron.__new__(Perceptron)
    return empty.of([first, offset, second, last])


def fitted(samples, seed):
    """A head fitted to the sessions that are not held back; it hears all features."""
    training = samples.part(HELD_BACK + CALIBRATING, 100)
    calibrating = samples.part(HELD_BACK, HELD_BACK + CALIBRATING)
    vectors, bought, weight = (of[training] for of in (samples.vectors, samples.bought, samples.weight))
    network = value_head.fit(vectors, bought, value_head.HIDDEN, seed, weight=weight)
    vectors, bought, weight = (of[calibrating] for of in (samples.vectors, samples.bought, samples.weight))
    return value_head.calibrated(network, vectors, bought, weight)


def log_loss(bought, value):
    value = np.clip(value, 1e-6, 1 - 1e-6)
    return -np.where(bought, np.log(value), np.log(1 - value))


def kept(worth, weight, value):
    """The share of the order value in the best requests, which are so many by weight."""
    order = np.argsort(-value, kind="stable")
    best = np.cumsum(weight[order]) <= KEPT * weight.sum()
    return (weight * worth)[order][best].sum() / max((weight * worth).sum(), 1e-9)


def ranking(bought, value):
    """The AUC; a half where there is nothing to rank."""
    return auc(bought, value) if 0 < bought.sum() < len(bought) else 0.5


def compared(samples, running, new, seed):
    """Both heads on the sessions held back, with 95 % intervals of what the new one gains by resampling sessions."""
    rows = samples.part(0, HELD_BACK)
    truth, worth, weight = samples.bought[rows], samples.worth[rows], samples.weight[rows]
    values = [network.predict(samples.vectors[rows])[:, 0] for network in (running, new)]

    def measured(drawn, value):
        """Each the better the higher."""
        bought, value, counted = truth[drawn], value[drawn], weight[drawn]
        return {
            "auc": ranking(bought, value),
            "log_loss": -np.average(log_loss(bought, value), weights=counted),
            "calibration": -calibration_error(bought, value, counted),
            "kept": kept(worth[drawn], counted, value),
        }

    sessions, place = np.unique(samples.session[rows], return_inverse=True)
    by_session = [np.flatnonzero(place == session) for session in range(len(sessions))]
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(ROUNDS):
        drawn = np.concatenate([by_session[one] for one in random.integers(0, len(sessions), len(sessions))])
        before, after = (measured(drawn, value) for value in values)
        gains.append([after[name] - before[name] for name in before])
    measures = {"requests": len(rows), "buyers": len(np.unique(samples.session[rows][truth]))}
    for name, value in zip(("running", "new"), values, strict=True):
        measures[f"{name}_auc"] = ranking(truth, value)
        measures[f"{name}_calibration_error"] = calibration_error(truth, value, weight)
        measures[f"{name}_kept"] = kept(worth, weight, value)
    for name, (low, high) in zip(before, np.percentile(gains, [2.5, 97.5], axis=0).T, strict=True):
        measures |= {f"gain_{name}_low": low, f"gain_{name}_high": high}
    return {name: round(float(value), 5) for name, value in measures.items()}


def objection(measures):
    """Why the new head may not replace the running one; `None` if it may. It is there to put sessions in order:
    that it has to do better beyond doubt. What it says of each is to be no worse, as far as can be told."""
    if measures["buyers"] < BUYERS_MIN:
        return f"{measures['buyers']} buying sessions are held back: too few to compare, {BUYERS_MIN} are needed"
    if measures["gain_auc_low"] <= 0:
        return "it does not rank buyers better beyond doubt"
    if measures["gain_calibration_high"] < 0 and measures["new_calibration_error"] > CALIBRATION_ERROR_MAX:
        return "its values are further from the shares that buy"
    if measures["new_kept"] < measures["running_kept"]:
        return "it keeps less order value"
    return None


CARD = """# Model card: a value head of this shop

The class head is that of the bundle this one replaced; see its card. The value head was fitted to this
shop's own journal (`models/learn.py`). On sessions held back:

| measure | value |
|---|---|
{measures}

It orders requests of one class in overload, and is no judgement of a person. It is of this shop and this
season: retrain it when `plimsoll_model_drift` says that sessions have changed.
"""


def write(out, running, samples, new, measures, schema):
    """The running bundle with another value head."""
    manifest = json.loads((running / "manifest.json").read_text(encoding="utf-8"))
    golden = json.loads((running / "golden.json").read_text(encoding="utf-8"))
    requests = np.zeros((len(golden), len(schema["request"])), np.uint8)
    for row, vector in zip(requests, golden, strict=True):
        row[vector["request"]] = 1
    heads = [("request", "class", head(running / "model.onnx", "class")), ("session", "value", new)]
    told = {name: value for name, value in manifest["measures"].items() if not name.startswith(("value_", "loop_"))}
    own = {"name": "the journal of one shop", "licence": "the operator's own", "use": "value head"}
    vectors = samples.vectors[samples.part(HELD_BACK, 100)]
    histograms = bundle.histograms(schema["session"], vectors)
    changed = {
        "schema": schema,
        "measures": told | {f"value_own_{name}": value for name, value in measures.items()},
        "histograms": manifest["histograms"] | histograms,
        "data": [one for one in manifest["data"] if one["use"].startswith("class")] + [own],
    }
    kept_from_running = {name: manifest[name] for name in ("classes", "seed")}
    table = "\n".join(f"| {name} | {value} |" for name, value in measures.items())
    card = CARD.replace("{measures}", table)
    bundle.write(out, onnx_model(heads), (requests, vectors), kept_from_running | changed, card)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--journal", type=Path, required=True, help="the directory of a journal")
    arguments.add_argument("--running", type=Path, default=HERE / "storefront", help="the bundle in force")
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments.add_argument("--out", type=Path, required=True, help="where the new bundle goes, if it is better")
    arguments = arguments.parse_args()

    features = Features(arguments.plimsoll)
    manifest = json.loads((arguments.running / "manifest.json").read_text(encoding="utf-8"))
    running = manifest["schema"]["hash"]
    if running != features.schema["hash"]:
        raise SystemExit(f"{arguments.running} is of other features ({running}) than {arguments.plimsoll}")
    journal = list(processes(arguments.journal))
    routed = agreement.Routed(itertools.chain(*journal), features.schema, manifest["classes"])
    print(json.dumps(routed.measured(head(arguments.running / "model.onnx", "class")), indent=2))
    samples = Samples(features, journal)
    if samples.bought[samples.part(HELD_BACK, 100)].sum() < BUYERS_MIN:
        raise SystemExit(f"{arguments.journal}: too few requests of buyers to learn from; see `learning:` in a policy")
    new = fitted(samples, SEED)
    measures = compared(samples, head(arguments.running / "model.onnx", "value"), new, SEED)
    print(json.dumps(measures, indent=2))
    if reason := objection(measures):
        raise SystemExit(f"{arguments.running} stays: {reason}")
    write(arguments.out, arguments.running, samples, new, measures, features.schema)
    print(f"{arguments.out}: written; `plimsoll model check` it, then name it in the policy")


if __name__ == "__main__":
    main()
