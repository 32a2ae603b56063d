"""Writes what the binary is made of as CycloneDX JSON, from Cargo's own resolution.

Only what is linked counts: dependencies for building and testing are left out. It asks
no network: names, versions and licences are Cargo's, digests those of Cargo.lock.
"""

import json
import re
import subprocess
import sys
import tomllib

PACKAGE = "plimsoll"


def metadata():
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", host()]
    return json.loads(subprocess.check_output(command))


def host():
    version = subprocess.check_output(["rustc", "-vV"], text=True)
    return re.search(r"^host: (.+)$", version, re.MULTILINE).group(1)


def digests():
    with open("Cargo.lock", "rb") as lock:
        packages = tomllib.load(lock)["package"]
    return {(one["name"], one["version"]): one.get("checksum") for one in packages}


def linked(resolved, root):
    """The ids of everything that is linked into `root`, and who depends on whom."""
    nodes = {node["id"]: node for node in resolved["nodes"]}
    edges, waiting = {}, [root]
    while waiting:
        id = waiting.pop()
        if id in edges:
            continue
        normal = [
            dependency["pkg"]
            for dependency in nodes[id]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        edges[id] = normal
        waiting.extend(normal)
    return edges


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, digests):
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # Cargo allowed a slash for OR once.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    digest = digests.get((package["name"], package["version"]))
    if digest:
        found["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return found


def main():
    known = metadata()
    packages = {package["id"]: package for package in known["packages"]}
    root = next(id for id, package in packages.items() if package["name"] == PACKAGE)
    edges = linked(known["resolve"], root)
    sums = digests()
    others = sorted((id for id in edges if id != root), key=lambda id: reference(packages[id]))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], sums) | {"type": "application"}},
        "components": [component(packages[id], sums) for id in others],
        "dependencies": [
            {
                "ref": reference(packages[id]),
                "dependsOn": sorted({reference(packages[other]) for other in edges[id]}),
            }
            for id in [root, *others]
        ],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


main()
