"""Shop sessions for the value head: how likely is this session, so far, to end in a purchase.

The UCI "Online Shoppers Purchasing Intention" set (no. 468, CC BY 4.0) gives totals at a session's
end and whether it bought. A proxy meets sessions in the middle, so they are cut there: at a depth that
is drawn without regard to their length, or the short ones, which hardly ever buy, would be most of what
a first page is. What the set does not tell is simulated without regard to the label (hour, entry,
searches, assets), but for the funnel: buyers pass cart and checkout, and of the others some do.
PageValues, bounce and exit rates are left out: no proxy sees them, and the first leaks the purchase.
"""

import csv
import gzip
import io
import math
from datetime import UTC, datetime
from random import Random

# With 15 % of sessions buying, these leave about 7 of 10 carts and 4 of 10 checkouts abandoned,
# as shops commonly report.
CART_WITHOUT_PURCHASE, CHECKOUT_WITHOUT_PURCHASE = 0.36, 0.12
# Cuts are not made after more views than this: one session in a hundred has as many.
VIEWS_MAX = 200
# How the other shop calls where a session came from.
CHANNELS = {
    "Organic Search": "search",
    "Social": "social",
    "Referral": "referral",
    "Paid Search": "campaign",
    "Display": "campaign",
    "Affiliates": "campaign",
}
ENTRIES = {"direct": 0.35, "search": 0.3, "campaign": 0.15, "referral": 0.12, "social": 0.08}


def online_shoppers(data):
    """The sessions as dictionaries: pages, duration, weekend, returning, bought."""
    for row in rows(data / "sessions/online-shoppers.csv.gz", ";"):
        yield {
            "pages": sum(int(row[kind]) for kind in ("Administrative", "Informational", "ProductRelated")),
            "duration_s": sum(
                float(row[kind + "_Duration"])
                for kind in ("Administrative", "Informational", "ProductRelated")
            ),
            "weekend": row["Weekend"] == "TRUE",
            "returning": row["VisitorType"] == "Returning_Visitor",
            "bought": row["Revenue"] == "TRUE",
        }


def merch_store(data):
    """Sessions of another shop, to evaluate on only."""
    for row in rows(data / "sessions/merch-store-sessions.csv.gz", ","):
        start = datetime.fromtimestamp(int(row["visit_start_time"]), UTC)
        yield {
            "pages": int(row["page_views"] or 0),
            "duration_s": float(row["time_on_site_s"] or 0),
            "weekend": start.weekday() >= 5,
            "returning": int(row["visit_number"]) > 1,
            "entry": CHANNELS.get(row["channel"], "direct"),
            "hour": start.hour,
            "weekday": start.weekday(),
            "bought": float(row["revenue_usd"] or 0) > 0,
        }


def starts(known):
    """Request rows and labels of sessions that have seen one page: only what is known by then."""
    rows, bought = [], []
    for session in known:
        view = {"requests": 1, "views": 1, "stage": "browsing"}
        view |= {"entry": session["entry"], "returning": session["returning"]}
        rows.append({"url": "/", "session": view, "hour": session["hour"], "weekday": session["weekday"]})
        bought.append(session["bought"])
    return rows, bought


def depth(random):
    """After how many views a session is cut: the second view tells more than the fiftieth."""
    return math.floor(math.exp(random.uniform(0, math.log(VIEWS_MAX + 1)))) - 1


def prefix(session, views, random, funnel):
    """What a proxy knows of the session at a request after so many of its views. With `funnel` off, it
    only browses."""
    # Somewhere before the next view; the first begins the session.
    fraction = (views - random.random()) / session["pages"] if views else 0.0
    age_s = round(session["duration_s"] * fraction)
    cart, checkout = reached(session["bought"], fraction, random) if funnel else (False, False)
    stage = "checkout" if checkout else "cart" if cart else "browsing" if views else "arrived"
    # Pages bring scripts and pictures along, unless a CDN serves them.
    assets = math.exp(random.uniform(0, math.log(30)))
    searches = sum(random.random() < 0.06 for _ in range(min(views, 50)))
    view = {
        "requests": round(views * assets),
        "views": views,
        "searches": searches,
        "carts": random.randint(1, 4) if cart else 0,
        "checkouts": random.randint(1, 5) if checkout else 0,
        "age_s": age_s,
        "idle_s": round(random.expovariate(1) * age_s / max(views, 1)),
        "stage": stage,
        "entry": random.choices(list(ENTRIES), list(ENTRIES.values()))[0],
        "returning": session["returning"],
    }
    weekday = random.choice([5, 6] if session["weekend"] else [0, 1, 2, 3, 4])
    return {"url": "/", "session": view, "hour": random.randrange(24), "weekday": weekday}


def reached(bought, fraction, random):
    """Whether cart and checkout are reached by this fraction of the session."""
    chance = random.random()
    cart = bought or chance < CART_WITHOUT_PURCHASE
    checkout = bought or chance < CHECKOUT_WITHOUT_PURCHASE
    cart_at = random.uniform(0.1, 0.9)
    checkout_at = random.uniform(cart_at, 1.0)
    return cart and fraction >= cart_at, checkout and fraction >= checkout_at


def prefixes(sessions, seed, copies, funnel=True):
    """Request rows and labels of sessions that are cut at most `copies` times, and whose each row is:
    the number of its session."""
    random = Random(seed)
    rows, bought, whose = [], [], []
    for number, session in enumerate(sessions):
        for views in [depth(random) for _ in range(copies)]:
            # Who has left by then makes no such request.
            if views <= session["pages"]:
                rows.append(prefix(session, views, random, funnel))
                bought.append(session["bought"])
                whose.append(number)
    return rows, bought, whose


def rows(path, delimiter):
    with gzip.open(path) as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"), delimiter=delimiter)
