"""The labelled requests the class head learns from.

Three sources whose weights may ship: the routes of shop platforms, whose labels a regular
expression guessed and `relabel` corrects; lists of our own in `paths/`, for shops of many kinds and
languages; and the page loads in trackers.py. Every path is filled in several times at random and
sent by a random client, so that words and methods decide and headers only lean.
"""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from string import ascii_lowercase

CLASSES = ["checkout", "cart", "account", "search", "browse", "static", "api", "analytics"]

PATHS = Path(__file__).parent / "paths"

WORDS = (PATHS / "words.txt").read_text(encoding="utf-8").split()
ONSETS = " b bl c ch d dr f g h j k l m n p pr r s st t tr v w z".split(" ")
CODAS = "  l m n r s t x ng nd st".split(" ")
LOCALES = (
    "en de fr es it nl pl sv da fi pt cs tr en-us en-gb de-de de-at fr-fr es-mx pt-br en_us nl-be".split()
)

# Placeholders of the platforms' routes that stand for words, not for numbers.
TITLED = ("slug", "handle", "permalink", "name", "key", "path", "sku", "code")


@dataclass
class Request:
    """A request with its label; `platform` names the source, for leaving one out."""

    method: str
    url: str
    label: str
    platform: str
    weight: float = 1.0
    headers: dict = field(default_factory=dict)
    operation: str | None = None

    def row(self):
        row = {"method": self.method, "url": self.url, "headers": self.headers}
        return row | ({"operation": self.operation} if self.operation else {})


def fill(path, random):
    """The path with every `{name}` or `:name` replaced by something of that kind."""
    path = re.sub(r"/:(\w+)", r"/{\1}", path).replace("/*", "/{token}")
    return re.sub(r"\{([^}]*)\}", lambda match: value(match[1].strip("?").lower(), random), path)


def value(name, random):
    if name == "n":
        return str(random.randint(1, 2030))
    if name == "word":
        return word(random)
    if "locale" in name:
        return random.choice(LOCALES)
    if any(part in name for part in TITLED):
        return "-".join(word(random) for _ in range(random.choice([1, 2, 2, 3, 3, 4, 5, 6])))
    if name.startswith("_live"):
        return word(random)
    if any(part in name for part in ("token", "hash", "version")):
        return f"{random.getrandbits(96):024x}"
    return identifier(random)


def word(random):
    """A word of shops, or one that no one has heard of: unknown words share buckets with known ones,
    and must not pass for them."""
    if random.random() < 0.4:
        return random.choice(WORDS)
    sounds = [ONSETS, "aeiou", CODAS] * random.randint(1, 4)
    return "".join(random.choice(kind) for kind in sounds)


def identifier(random):
    hexadecimal = f"{random.getrandbits(128):032x}"
    uuid = "-".join(
        [hexadecimal[:8], hexadecimal[8:12], hexadecimal[12:16], hexadecimal[16:20], hexadecimal[20:]]
    )
    prefixed = "".join(random.choices(ascii_lowercase, k=4)) + "_" + hexadecimal[:20]
    return random.choice([str(random.randint(1, 99)), str(random.randint(100, 9_999_999)), uuid, prefixed])


BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0 Safari/537.36"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
LIBRARIES = ["curl/8.5.0", "python-requests/2.32", "okhttp/4.12", "Go-http-client/2.0", "k6/1.0", "node"]

# What a browser says when it fetches each class: destination, mode, accept. Checkouts, carts and
# accounts are pages as often as calls of a script.
PAGE = ("document", "navigate", "text/html,application/xhtml+xml,*/*;q=0.8")
CALL = ("empty", "cors", "application/json, text/plain, */*")
FETCH = ("empty", "same-origin", "*/*")
ASSETS = [
    ("script", "no-cors", "*/*"),
    ("style", "no-cors", "text/css,*/*;q=0.1"),
    ("image", "no-cors", "image/avif,*/*"),
]
BEACONS = [
    ("empty", "no-cors", "*/*"),
    ("image", "no-cors", "image/avif,*/*"),
    ("script", "no-cors", "*/*"),
    FETCH,
]
FETCHES = {"static": ASSETS + [("font", "cors", "*/*")], "analytics": BEACONS, "api": [CALL, FETCH]}
BODIES = [
    "application/x-www-form-urlencoded",
    "application/json",
    "multipart/form-data; boundary=x",
    "text/plain",
]


def headers(request, random):
    """A random client's header fields: none, a library's, a bot's or a browser's."""
    fields = {}
    if request.method in ("POST", "PUT", "PATCH") and random.random() < 0.7:
        fields["content-type"] = random.choice(BODIES if request.label == "analytics" else BODIES[:3])
    client = random.random()
    if client < 0.25:
        return fields
    if random.random() < 0.5:
        fields["cookie"] = "session=1"
    if client < 0.5:
        fields["user-agent"] = random.choice(LIBRARIES)
        if random.random() < 0.6:
            fields["accept"] = random.choice(["*/*", "application/json", "text/html"])
        return fields
    fields["user-agent"] = BOT if client < 0.6 else BROWSER
    usual = FETCHES.get(request.label, [PAGE, PAGE, CALL, FETCH])
    # Some clients say anything, and must not change what a path says.
    destination, mode, accept = random.choice(
        usual if random.random() < 0.85 else ASSETS + [PAGE, CALL, FETCH]
    )
    fields["accept"] = accept
    if client > 0.7:
        fields |= {"sec-fetch-dest": destination, "sec-fetch-mode": mode}
    if destination == "empty" and random.random() < 0.3:
        fields["x-requested-with"] = "XMLHttpRequest"
    return fields


# Where the guess of a platform's route is known to err; the first that matches wins.
CORRECTIONS = [
    (r"indexing-status|/customers/search", "api"),
    (r"search|suggest", "search"),
    (r"checkout/cart|sidebar/", "cart"),
    (r"wishlist|shopping-list|address_book|shop_user|logout|store-api/account/|login-check", "account"),
    (r"^(GET|HEAD|\*) (?!.*(checkout|pay|cart)).*/order", "account"),
    (r"^POST .*/orders?$", "checkout"),
    (r"^(GET|\*) .*/(pages|blogs|policies|posts|contact)", "browse"),
    (r"^(POST|DELETE|PUT) /\{projectKey\}.*/(product|categor|variant)", "api"),
]


def relabel(method, path, guess):
    """The class of a platform's route."""
    for pattern, label in CORRECTIONS:
        if re.search(pattern, f"{method} {path}"):
            return label
    return "browse" if guess == "product" else guess


def platform_routes(data, random, copies=6):
    with open(data / "routes/routes_extracted.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            # Seen in a log whose terms let us evaluate only.
            if "observed_in" in row["platform"]:
                continue
            label = relabel(row["method"], row["path"], row["class_guess"])
            # Two thirds of the rows are one platform's back office: it must not outvote the shops.
            weight = 0.15 if row["platform"] == "commercetools" else 0.6
            for _ in range(copies if weight > 0.5 else 2):
                method = random.choice(["GET", "POST"]) if row["method"] == "*" else row["method"]
                yield Request(method, fill(row["path"], random), label, row["platform"], weight)


def written_paths(random, copies=10):
    for label in CLASSES:
        lines = (PATHS / f"{label}.txt").read_text(encoding="utf-8").split("\n")
        for line in filter(None, lines):
            method, _, path = line.rpartition(" ")
            # A line that stands for countless paths is seen in more of them.
            for _ in range(copies * (3 if "{word}" in path or "{slug}" in path else 1)):
                yield Request(
                    method or reading(random), mounted(fill(path, random), random), label, "written"
                )


def reading(random):
    return "HEAD" if random.random() < 0.03 else "GET"


def mounted(path, random):
    """The path as it is, or where a shop serves it below a locale or a folder."""
    chance = random.random()
    if chance < 0.72 or path in ("/", "*") or path.startswith("/?"):
        return path
    return (
        "/"
        + (random.choice(LOCALES) if chance < 0.92 else random.choice(["shop", "store", "index.php"]))
        + path
    )


def graphql(random, copies=12):
    for line in (PATHS / "operations.txt").read_text(encoding="utf-8").splitlines():
        label, *operations = line.split()
        for operation in operations:
            for _ in range(copies):
                path = random.choice(["/graphql", "/graphql", "/api/graphql", "/api/2024-01/graphql.json"])
                method = random.choice(["POST", "POST", "POST", "GET"])
                yield Request(method, path, label, "written", operation=operation)


def corpus(data, seed):
    """All requests but the page loads, each sent by some client."""
    random = Random(seed)
    requests = [*platform_routes(data, random), *written_paths(random), *graphql(random)]
    return dressed(requests, random)


def dressed(requests, random):
    for request in requests:
        request.headers = headers(request, random)
    return requests
