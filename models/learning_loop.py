"""Whether learning from a shop's own journal is worth it, in a shop whose true intent is known.

    python models/learning_loop.py [--plimsoll BINARY]

What it finds goes into learning_loop.json, with the digest of the running model, and it fails if that is less
than is promised. A shop draws sessions, serves them in a calm morning and in an afternoon of overload, and writes the journal that
the proxy would have written. A value head is learned from it (`learn.py`), and the shop then gets three times what
it can carry. Seats go to
whom the proxy would give them: a session once let in stays (its tenure), and of those that come together
as many are let in as there is room for, by value or, with class order alone, by chance. What is compared
is the value of the orders kept, in two shops: one in which intent shows in how a session begins, and one
in which it shows nowhere.

It knows nothing of latency or queues: those are the core's, and its own simulation's.
"""

import argparse
import copy
import json
import math
from pathlib import Path
from random import Random

import numpy as np

import bundle
import learn
from train import HERE, Features

SESSIONS = 6000
# Of ten requests, three are written down: a journal of some ten thousand requests from a day's shop.
SAMPLED = 0.3
# In overload, one session in so many draws its value; who is let in otherwise was chosen by a model.
DRAWN = 0.1
# Seconds of calm at the start of the day.
CALM = 43_200
OVERLOAD = 3
# Sessions that come while one seat is free for every third of them.
TOGETHER = 60
START = 1_800_000_000.0
ENTRIES = {"direct": 0.0, "search": -0.5, "social": -1.5, "referral": 0.4, "campaign": 1.2}
SEEDS = 10
# Student's t for nine degrees of freedom, 95 % (two sides).
T_95 = 2.262
# The promise: so much more order value where there is intent to see, and no loss beyond chance where there is none.
GAIN_MIN = 0.10


class Session:
    """A shopper: what the proxy sees, what they would buy."""

    def __init__(self, random, at, shows_intent):
        self.at, self.key = at, f"{random.getrandbits(64):016x}"
        self.entry, self.returning = random.choice(list(ENTRIES)), random.random() < 0.4
        mood = random.gauss(0, 0.7)
        # Where intent shows nowhere, it is that of somebody else who came the same way.
        other = random.choice(list(ENTRIES)), random.random() < 0.4
        entry, returning = (self.entry, self.returning) if shows_intent else other
        self.buys = random.random() < 1 / (1 + math.exp(3.2 - ENTRIES[entry] - 1.5 * returning - mood))
        self.pages = 1 + int(random.expovariate(1 / 5))
        self.dwell = [random.expovariate(1 / 40) for _ in range(self.pages)]
        # Orders around 60, few of several hundred.
        self.order = round(random.lognormvariate(math.log(60), 0.6), 2) if self.buys else 0.0

    def seen(self, views):
        """The session at its request after so many pages, as the proxy writes it down."""
        age = sum(self.dwell[:views])
        stage = "browsing" if views else "arrived"
        known = {"requests": views * 8, "views": views, "searches": 0, "carts": 0, "checkouts": 0}
        known |= {"age_s": int(age), "idle_s": int(self.dwell[views - 1]) if views else 0, "stage": stage}
        known |= {"entry": self.entry, "returning": self.returning}
        moment = self.at + age
        hour, weekday = int(moment // 3600 % 24), int((moment // 86400 + 3) % 7)
        return {"at": moment, "key": self.key, "class": "browse", "session": known, "hour": hour, "weekday": weekday}


def sessions(seed, shows_intent, count=SESSIONS):
    random = Random(f"{seed} {shows_intent}")
    at = START
    for _ in range(count):
        at += random.expovariate(count / 86400)
        yield Session(random, at, shows_intent)


def journal(known, seed):
    """What the proxy writes of a day's sessions."""
    random = Random(seed)
    for session in known:
        chosen = {"value": None, "drawn": False, "propensity": SAMPLED, "decision": "admit"}
        if session.at - START > CALM:
            is_drawn, value = random.random() < DRAWN, random.random()
            decision = "admit" if value > 1 - 1 / OVERLOAD else "shed"
            chosen |= {"value": value, "drawn": is_drawn, "propensity": SAMPLED * DRAWN, "decision": decision}
        for views in range(session.pages if chosen["decision"] == "admit" else 1):
            if random.random() < SAMPLED:
                yield session.seen(views) | chosen
        if session.buys and chosen["decision"] == "admit":
            yield {"at": session.at + sum(session.dwell), "key": session.key, "order": session.order}


def kept(known, value):
    """The order value of those who are let in, of sessions that come together."""
    total = 0.0
    for start in range(0, len(known), TOGETHER):
        group = list(zip(value[start : start + TOGETHER], known[start : start + TOGETHER], strict=True))
        group.sort(key=lambda pair: -pair[0])
        total += sum(session.order for _, session in group[: len(group) // OVERLOAD])
    return total


def trial(features, running, seed, shows_intent):
    """The order value kept by class order alone and by the head learned from the journal; whether that
    head was let in. One that is refused changes nothing: the running head goes on."""
    day = list(sessions(seed, shows_intent))
    samples = learn.Samples(features, [journal(day, seed)])
    new = learn.fitted(samples, seed)
    reason = learn.objection(learn.compared(samples, running, new, seed))
    in_force = running if reason else new
    if seed == 0:
        assert_worse_is_refused(samples, in_force, seed)
    rush = list(sessions(seed + 1000, shows_intent))
    asked = [{"url": "/"} | {name: line[name] for name in ("session", "hour", "weekday")} for line in (one.seen(0) for one in rush)]
    value = in_force.predict(features.of(asked)[1])[:, 0]
    chance = np.random.default_rng(seed).random(len(rush))
    # Sessions of equal value take their turns, as they do without a model.
    return kept(rush, chance), kept(rush, value + 1e-9 * chance), reason is None


def assert_worse_is_refused(samples, in_force, seed):
    """Fails if a head that was fitted to orders dealt out at random is let in over the one in force."""
    dealt = copy.copy(samples)
    dealt.bought = np.random.default_rng(seed).permutation(samples.bought)
    worse = learn.fitted(dealt, seed)
    assert learn.objection(learn.compared(samples, in_force, worse, seed)), "a head that learned nothing was let in"


def measured(trials, name):
    """What the learned heads gain over class order alone, with its 95 % interval over the seeds."""
    gains = np.array([own / alone - 1 for alone, own, _ in trials])
    half = T_95 * gains.std(ddof=1) / math.sqrt(len(gains))
    return {
        f"loop_gain{name}": gains.mean(),
        f"loop_gain{name}_low": gains.mean() - half,
        f"loop_gain{name}_high": gains.mean() + half,
        f"loop_heads_let_in{name}": sum(is_applied for *_, is_applied in trials),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--plimsoll", default=HERE.parent / "target/release/plimsoll")
    arguments.add_argument("--running", type=Path, default=HERE / "storefront")
    arguments.add_argument("--out", type=Path, default=bundle.LOOP)
    arguments = arguments.parse_args()
    features = Features(arguments.plimsoll)
    model = arguments.running / "model.onnx"
    measures = {}
    for name, shows_intent in (("", True), ("_without_intent", False)):
        measures |= measured([trial(features, learn.head(model, "value"), seed, shows_intent) for seed in range(SEEDS)], name)
    measures = {name: round(float(value), 4) for name, value in measures.items()}
    found = {"model": bundle.digest(model.read_bytes()), "seeds": SEEDS, "measures": measures}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    if measures["loop_gain"] < GAIN_MIN or measures["loop_gain_low"] <= 0:
        raise SystemExit(f"what was learned keeps less than {GAIN_MIN:.0%} more, or not beyond doubt")
    if measures["loop_gain_without_intent_high"] < 0:
        raise SystemExit("what was learned does harm where there is nothing to learn")


if __name__ == "__main__":
    main()
