"""The labelled requests the class head learns from.

Three sources whose weights may ship: the routes of shop platforms, labelled by hand in `labels/`;
lists of our own in `paths/`, for shops of many kinds and languages; and the page loads in
trackers.py. Every path is filled in several times at random and
sent by a random client, so that words and methods decide and headers only lean.
"""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from string import ascii_lowercase

import labels

CLASSES = ["checkout", "cart", "account", "search", "browse", "static", "api", "analytics"]

PATHS = Path(__file__).parent / "paths"

WORDS = (PATHS / "words.txt").read_text(encoding="utf-8").split()
BACK_OFFICE = (PATHS / "back_office.txt").read_text(encoding="utf-8").split()
# Shop words in the titles of pages that are only about them.
NOUNS = (
    "cart checkout payment shipping delivery order account password gift coupon search bag track user members "
    "customer login register events log stats click price state group rules address favorite find product item "
    "review brand collection return card quote import export plugin service status promo buy purchase invoice"
).split()
PROVIDERS = "paypal stripe adyen klarna mollie braintree worldpay amazonpay payone razorpay payu affirm".split()
HOOKS = "webhook webhooks ipn callback notify notification notifications return hook status".split()
ONSETS = " b bl c ch d dr f g h j k l m n p pr r s st t tr v w z".split(" ")
CODAS = "  l m n r s t x ng nd st".split(" ")
LOCALES = (
    "en de fr es it nl pl sv da fi pt cs tr en-us en-gb de-de de-at fr-fr es-mx pt-br en_us nl-be".split()
)

# Placeholders of the platforms' routes that stand for words, not for numbers.
TITLED = ("slug", "handle", "permalink", "name", "key", "path", "sku", "code")


@dataclass
class Request:
    """A request with its label. `source` is a vendor, `written` or `pages`, for leaving one out;
    `template` finds the same route in another source."""

    method: str
    url: str
    label: str
    source: str
    weight: float = 1.0
    headers: dict = field(default_factory=dict)
    operation: str | None = None
    template: str | None = None

    def row(self):
        row = {"method": self.method, "url": self.url, "headers": self.headers}
        return row | ({"operation": self.operation} if self.operation else {})


# What payments and deliveries are made of, in the interfaces of shops.
PARTS = (
    "sessions intents requests groups tokens links items collections instruments types providers methods sources "
    "options rates estimates attempts authorizations transactions handlers"
).split()
LISTS = {"back": BACK_OFFICE, "psp": PROVIDERS, "hook": HOOKS, "part": PARTS}


def fill(path, random):
    """The path with every `{name}` or `:name` replaced by something of that kind."""
    path = re.sub(r"/:(\w+)", r"/{\1}", path).replace("/*", "/{token}")
    return re.sub(r"\{([^}]*)\}", lambda match: value(match[1].strip("?").lower(), random), path)


def value(name, random):
    if name == "n":
        return str(random.randint(1, 2030))
    if name == "word":
        return word(random)
    if name in LISTS:
        return random.choice(LISTS[name])
    if name == "nounslug":
        words = [word(random) for _ in range(random.randint(1, 4))]
        words.insert(random.randrange(len(words) + 1), random.choice(NOUNS))
        return "-".join(words)
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


# What belongs to one vendor is left out together.
VENDORS = {
    "bigcommerce_sf": "bigcommerce",
    "bigcommerce_v3": "bigcommerce",
    "magento2_ajax": "magento",
    "magento2_nginx_static": "magento",
    "magento2_webapi": "magento",
    "shopify_default_robots": "shopify",
    "shopware_store_api": "shopware",
    "spree_v2": "spree",
    "spree_v3": "spree",
    "sylius_shop": "sylius",
    "woocommerce_observed_in_sundog_log": "woocommerce",
    "woocommerce_store_api": "woocommerce",
}


def template(path):
    """The path without what is filled in: two requests of one template are one route."""
    path = re.sub(r"/:(\w+)", r"/{\1}", path.lower()).replace("/*", "/{}")
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/") or "/"


def platform_routes(data, random, copies=6):
    source = data / "routes/routes_extracted.tsv"
    classes = labels.of("routes.tsv", source)
    with open(source, encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            vendor = VENDORS.get(row["platform"], row["platform"])
            # Two thirds of the rows are one platform's back office: it must not outvote the shops.
            weight = 0.15 if vendor == "commercetools" else 0.6
            # Seen in a log whose terms let us evaluate only.
            weight = 0 if "observed_in" in row["platform"] else weight
            for _ in range(copies if weight > 0.5 else 2):
                # A row of any method is from a file for crawlers: they read.
                method = "GET" if row["method"] == "*" else row["method"]
                path = fill(row["path"], random)
                yield Request(method, path, classes[line], vendor, weight, template=template(row["path"]))


def written_paths(random, copies=10):
    for label in CLASSES:
        lines = (PATHS / f"{label}.txt").read_text(encoding="utf-8").split("\n")
        for line in filter(None, lines):
            method, _, path = line.rpartition(" ")
            # A line that stands for countless paths is seen in more of them.
            for _ in range(copies * (3 if re.search(r"\{(word|slug|back|psp|part)\}", path) else 1)):
                # What stands for a list of words is as good as a line for each of them.
                named = re.sub(r"\{(back|psp|hook|part)\}", lambda match: value(match[1], random), path)
                filled = mounted(fill(named, random), random)
                yield Request(
                    method or reading(random), filled, label, "written", template=template(named)
                )


def reading(random):
    return "HEAD" if random.random() < 0.03 else "GET"


def mounted(path, random):
    """The path as it is, or where a shop serves it: below a locale, a folder, or its interface for
    programs. What it is mounted under must not tell what it is."""
    chance = random.random()
    interface = re.match(r"/api(/v1)?(?=/)", path)
    if interface and chance < 0.7:
        return prefix(random) + path[interface.end() :]
    if chance < 0.5 or path in ("/", "*") or path.startswith("/?"):
        return path
    if chance < 0.65:
        return "/" + random.choice(LOCALES) + path
    if chance < 0.75:
        return "/" + random.choice(["shop", "store", "index.php", word(random)]) + path
    # Pages, files and titles are not served by interfaces.
    return prefix(random) + path if re.fullmatch(r"/[a-z]+(-[a-z]+)?(/[^.?]*)?", path) else path


def prefix(random):
    """Where an interface for programs is mounted."""
    version = random.choice(["", "", "/v1", "/v2", "/v3", "/latest"])
    name = random.choice(["api", "api", "rest", "store-api", "shop-api", "webapi", word(random) + "-api", "wp-json/" + word(random)])
    scope = random.choice(["", "", "", "/store", "/shop", "/storefront", "/stores/" + identifier(random), "/" + word(random), scoped(random)])
    return random.choice(["/" + name + version + scope, "/" + name + scope + version, scope + version or "/" + name])


def scoped(random):
    """Whose part of an interface it is: a collection and one of it, twice at the most."""
    whose = random.choice([word(random), word(random) + "-" + word(random), "in-" + word(random)])
    outer = scoped(random) if random.random() < 0.2 else ""
    return outer + "/" + whose + "/" + identifier(random)


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


def measured(data, seed):
    """The platforms' routes as a bare client asks for them: header fields that a label was drawn for
    would give it away."""
    return list(platform_routes(data, Random(seed), copies=2))


def dressed(requests, random):
    for request in requests:
        request.headers = headers(request, random)
    return requests
