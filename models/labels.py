"""The hand-made labels in `labels/`: classes by line number of a file that is not ours to ship."""

import hashlib
from pathlib import Path

LABELS = Path(__file__).parent / "labels"


def of(name, source):
    """Classes by line number, if `source` is the very file that was labelled."""
    classes, digest = {}, None
    for line in (LABELS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("# sha256 "):
            digest = line.split()[-1]
        elif not line.startswith("#"):
            number, label = line.split("\t")
            classes[int(number)] = label
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != digest:
        raise SystemExit(f"{source}: not the file that {name} labels: {found}, not {digest}")
    return classes
