"""Measures the bot flag: what the agents of crawlers and of browsers are taken for.

The flag is a feature (`agent.bot`), read from a short list of words; nothing is trained. The words come from
the crawler-user-agents list, so that what the other lists say of it counts more.
"""

import json
import re

KINDS = ["absent", "browser", "bot", "library"]


def measures(features, data):
    """The share of each list whose agents are flagged, and of isbot's crawlers also as anything but a browser."""
    known = crawlers(data)
    strangers = [agent for agent in fixtures(data / "bots/isbot_crawlers.yml") if agent not in set(known)]
    browsers = fixtures(data / "bots/isbot_browsers.yml")
    kinds = [kinds_of(features, agents) for agents in (known, strangers, browsers)]
    flagged, found, alarmed = (share(kind, "bot") for kind in kinds)
    return {
        "bot_flag_agents": sum(map(len, kinds)),
        "bot_flag_recall_listed": flagged,
        "bot_flag_recall_unlisted": found,
        "bot_flag_recall_unlisted_or_library": found + share(kinds[1], "library"),
        "bot_flag_false_alarms": alarmed,
    }


def crawlers(data):
    """The agents of the crawler-user-agents list."""
    entries = json.loads((data / "bots/crawler-user-agents.json").read_text(encoding="utf-8"))
    return sorted({agent for entry in entries for agent in entry.get("instances", [])})


def fixtures(path):
    """The agents of a YAML list of lists: all its items, quotes removed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    items = (re.match(r"\s*-\s+(.*)$", line) for line in lines)
    return sorted({item[1].strip().strip("'\"") for item in items if item})


def kinds_of(features, agents):
    """The agent's kind of each, as the proxy reads it."""
    # What no header field may hold is no matter of the flag.
    rows = [{"url": "/", "headers": {"user-agent": re.sub(r"[^ -~]", "?", agent)}} for agent in agents]
    vectors, first = features.bits(rows), features.schema["request"].index(f"agent.{KINDS[0]}")
    return [KINDS[place] for place in vectors[:, first : first + len(KINDS)].argmax(1)]


def share(kinds, kind):
    return kinds.count(kind) / len(kinds)
