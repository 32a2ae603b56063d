"""Beacons and assets as real pages load them, labelled by EasyPrivacy and by file extension.

A first-party proxy sees the path of a beacon and never the tracker's host, so the host serves to
label and is then dropped. EasyPrivacy itself is read, not shipped.
"""

import gzip
import json
import re
from random import Random
from urllib.parse import urlsplit

from corpus import Request, dressed

ASSET = re.compile(r"\.(js|css|png|jpe?g|gif|svg|webp|ico|woff2?|ttf|eot|mp4)$", re.IGNORECASE)

# The path of a tracker that only its host gives away says little. Page loads in all weigh little:
# there are five times as many as routes of shops, and their words are random to a shop.
BY_PATH, BY_HOST, ASSET_WEIGHT = 0.12, 0.03, 0.12

HOST_RULE = re.compile(r"^\|\|([a-z0-9.-]+)(\^?/?.*)$")


class EasyPrivacy:
    """The blocking rules without options for single pages; no regular expressions, no exceptions."""

    def __init__(self, text):
        self.generic, self.by_host = [], {}
        for line in text.splitlines():
            rule = line.split("$")[0].strip()
            if not rule or rule[0] in "![" or rule.startswith("@@") or "##" in line or "domain=" in line:
                continue
            host = HOST_RULE.match(rule)
            if host:
                self.by_host.setdefault(host[1], []).append(expression(host[2]))
            elif (
                len(rule) >= 5
                and not rule.startswith("||")
                and not rule.endswith("/") | rule.startswith("/^")
            ):
                self.generic.append(expression(rule))
        self.generic = re.compile("|".join(self.generic))

    def weight(self, url):
        """0 if no rule matches, else how much the match says about the path itself."""
        if self.generic.search(url):
            return BY_PATH
        parts = urlsplit(url)
        rest = url.split(parts.netloc, 1)[1]
        labels = (parts.hostname or "").split(".")
        hosts = (".".join(labels[start:]) for start in range(len(labels)))
        rules = [rule for host in hosts for rule in self.by_host.get(host, ()) if re.match(rule, rest)]
        return max((BY_PATH if "/" in rule else BY_HOST for rule in rules), default=0)


def expression(rule):
    escaped = re.escape(rule.strip("|")).replace(r"\*", ".*")
    return escaped.replace(r"\^", r"(?:[^\w.%-]|$)")


def page_loads(data, seed):
    """Requests of page loads by some client."""
    return dressed(bare_page_loads(data, seed), Random(seed))


def bare_page_loads(data, seed):
    """Requests of page loads: analytics where a rule matches, else static by extension."""
    random = Random(seed)
    rules = EasyPrivacy(read(data / "trackers/easyprivacy.txt.gz"))
    urls = [line.strip() for line in read(data / "trackers/brave_top500-sitelist.txt.gz").splitlines()]
    urls += [
        entry["url"] for entry in json.loads(read(data / "trackers/brave_matching-test-requests.json.gz"))
    ]
    requests = [labelled(url, rules, random) for url in sorted(set(urls)) if url.startswith("http")]
    return [request for request in requests if request]


def labelled(url, rules, random):
    try:
        parts = urlsplit(url)
        weight = rules.weight(url)
    except ValueError:
        return None
    target = parts.path + ("?" + parts.query if parts.query else "")
    if len(parts.path) < 2 or not re.fullmatch(r"[!-~]{2,400}", target) or re.search(r'["<>\\^`{|}]', target):
        return None
    if weight:
        method = random.choice(["GET", "GET", "POST"]) if not ASSET.search(parts.path) else "GET"
        return Request(method, target, "analytics", "pages", weight, template=site(parts))
    if ASSET.search(parts.path) and random.random() < 0.4:
        return Request("GET", target, "static", "pages", ASSET_WEIGHT, template=site(parts))
    return None


def site(parts):
    """The site a request went to, roughly: all of one site are left out together."""
    return ".".join((parts.hostname or "").split(".")[-2:])


def read(path):
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read()
