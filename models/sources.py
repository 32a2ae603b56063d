"""The public data sets that training and its evaluation read: where they come from, and their digests.

`python models/sources.py DIR` ends well if they are all there, and tells which ones are not: `make model` asks before
it builds anything.
"""

import hashlib
import sys
from pathlib import Path

# Path below the data directory, SHA-256, origin and terms.
SOURCES = [
    ("routes/routes_extracted.tsv", "263f21583b43f034c10656fde794ddd527e268927b4c5e94405f395414cf0e14", "routes of ten shop platforms, extracted from their public API specifications (MIT, BSD)"),
    ("trackers/brave_top500-sitelist.txt.gz", "b9ae3321c9873cb5b89a1d0a30eb17dff5d5d6dd9d3dd25411790425c2472214", "URLs of top-500 page loads: test data of github.com/brave/adblock-rust (MPL-2.0)"),
    ("trackers/brave_matching-test-requests.json.gz", "b3966af5792fd414e59ceadb1dbd867f00e615f638be8d211d9f1405281dede6", "requests of page loads: test data of github.com/brave/adblock-rust (MPL-2.0)"),
    ("trackers/easyprivacy.txt.gz", "67557b7885d7e5c970ee3721200bb2f367c2eec822909a409f7aca1383f999c8", "EasyPrivacy, easylist.to (GPL-3 or CC BY-SA): labels only, not shipped"),
    ("bots/crawler-user-agents.json", "4e414e18ed3f64b9b8298a9f042c83e1ccf54414d8a742fb1f0ec9441d5170e4", "agents of crawlers: github.com/monperrus/crawler-user-agents (MIT)"),
    ("bots/isbot_crawlers.yml", "91df687728b7e282e9cb28c4d515cd1bf2d9907092ab661b1f5ac7b8b7144fe2", "agents of crawlers: test data of github.com/omrilotan/isbot (Unlicense)"),
    ("bots/isbot_browsers.yml", "0789d389584d37e1fc041a77a17bb9a059ae4075e5e1d3e49c54230cee598fd0", "agents of browsers: test data of github.com/omrilotan/isbot (Unlicense)"),
    ("sessions/online-shoppers.csv.gz", "48d4acf246a77661ef1d5bc804124d1299bb18e8cd2fc37126a1e27500c3e923", "Online Shoppers Purchasing Intention, archive.ics.uci.edu/dataset/468 (CC BY 4.0)"),
    ("sessions/merch-store-sessions.csv.gz", "e6a409bf45360a80ef7d4bce4109c95faa31f758df20d3b5658d6c817b5c7661", "Google Merchandise Store sample sessions, May and June 2017 (no open licence: evaluated only)"),
    ("logs/woocommerce-store.log.gz", "52dd6ab02124242679a18cd76f48eea5e6063e8d8f7b0745c5c3bf476bfd4495", "access log of a WooCommerce shop, sundog-soft teaching set (no licence stated: evaluated only)"),
]


def missing(data):
    """What is wrong with the files below `data`, one line each."""
    wrong = []
    for name, digest, origin in SOURCES:
        path = data / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        if found != digest:
            wrong.append(f"{name}\n  from    {origin}\n  sha256  {digest}\n  found   {found}")
    return wrong


def require(data):
    """Ends the program, and says why, if anything is wrong with them."""
    if wrong := missing(data):
        raise SystemExit(f"{data} lacks what the training reads:\n\n" + "\n\n".join(wrong))


if __name__ == "__main__":
    require(Path(sys.argv[1]))
