"""How often a class head says what a shop's own routes say, by the samples beside a journal.

A sample has the features of its request as the proxy computed them (src/classify/features.rs), so nothing is computed
here again. Where a route decided, the class before the session's stage lifted it is the operator's own word. A class
with a poor recall is one whose paths the model does not know: without their routes it would get them wrong. Which
paths those are no sample tells; `plimsoll explain` does of one that is asked about. What a route let the model move
is the model's word, and not counted.

Nothing is learned from it; models/README.md says why.
"""

from collections import Counter

import numpy as np

from measures import share_interval

# Requests that the head is asked about at once: their vectors take 100 MB.
ROWS_A_CALL = 10_000


class Routed:
    """The requests whose class a route decided, of classes that the head knows."""

    def __init__(self, lines, schema, classes):
        self.width, self.classes = len(schema["request"]), classes
        requests = (line for line in lines if line.get("class_by") == "route" and line["own_class"] in classes)
        rows, self.of_other_features = [], 0
        # Few requests are like no other: each kind is kept, and asked about, once.
        kinds = {}
        for line in requests:
            if line["schema"] != schema["hash"]:
                self.of_other_features += 1
                continue
            kind = kinds.setdefault(tuple(line["features"]), len(kinds))
            rows.append((kind, classes.index(line["own_class"]), line["key"], 1 / line["propensity"]))
        self.kinds = list(kinds)
        kind, truth, key, weight = zip(*rows, strict=True) if rows else ((), (), (), ())
        self.kind, self.truth = np.array(kind, int), np.array(truth, int)
        # Every row stands for as many requests as its chance to be written says.
        self.weight = np.array(weight, float)
        _, self.session = np.unique(np.array(key, str), return_inverse=True)

    def guesses(self, head):
        """What a class head makes of each row."""
        guess = np.zeros(len(self.kinds), int)
        for start in range(0, len(self.kinds), ROWS_A_CALL):
            part = self.kinds[start : start + ROWS_A_CALL]
            vectors = np.zeros((len(part), self.width), np.float32)
            for vector, places in zip(vectors, part, strict=True):
                vector[list(places)] = 1
            guess[start : start + len(part)] = head.predict(vectors).argmax(1)
        return guess[self.kind]

    def measured(self, head):
        """Its accuracy and each class's recall with their 95 % intervals, and for what the requests of a class are
        taken most often if not for their own."""
        guess = self.guesses(head)
        measures = {"routed_requests": len(self.truth), "routed_of_other_features": self.of_other_features}
        if len(self.truth):
            measures |= self.share("routed_accuracy", guess == self.truth, np.full(len(guess), True))
        for index, name in enumerate(self.classes):
            rows = self.truth == index
            if rows.any():
                wrong = Counter(self.classes[other] for other in guess[rows] if other != index)
                taken_for = wrong.most_common(1)[0][0] if wrong else None
                found = {"requests": int(rows.sum())} | self.share("recall", guess == index, rows)
                measures[f"routed_{name}"] = found | {"taken_for": taken_for}
        return measures

    def share(self, name, right, rows):
        """The share of these rows that are right, and its interval. The requests of a session are much alike, so it is
        sessions that count, and of those as many as their weights are worth (Kish 1965)."""
        weight = self.weight * rows
        share = np.sum(weight * right) / weight.sum()
        by_session = np.bincount(self.session, weight)
        interval = share_interval(share, by_session.sum() ** 2 / np.sum(by_session**2))
        names = (name, f"{name}_low", f"{name}_high")
        return {name: round(float(number), 4) for name, number in zip(names, (share, *interval), strict=True)}
