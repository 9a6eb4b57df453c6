# Spandrel. `make help` lists the targets.
CARGO ?= cargo
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
TARGET = $(or $(CARGO_TARGET_DIR),target)
LIBRARY = $(TARGET)/release/libspandrel.so
XTASK = $(CARGO) run --quiet --package spandrel-xtask --bin xtask --
# Only what reads the tables of the allocator is linked with it.
TABLES = $(CARGO) run --quiet --package spandrel-xtask --features tables --bin xtask --
# Instructions per malloc + free (16 bytes, 500 bytes, mix in 256 slots, mix in 8192 slots), and per block: malloc in a row, free in
# order and in random order (12 and 32 beyond the 26 of the fast path)
LIMITS = 38,38,39,39,48,20,43,59
# Instructions per malloc(16) + free in other modes
MODE_LIMITS = counting=38,guarded=54,hardened=158

# Files above base/ and sys/ that a malloc may pass before memory is committed for it
COLD_FILES = 20

.DEFAULT_GOAL := build
.PHONY: build demo test check install uninstall deb startup instructions peers bench bench-quick bench-publish header docs self-host format clean help

build: library cli ## Build libspandrel.so, libspandrel.a and the command spandrel

.PHONY: library
library: ## Build libspandrel.so and libspandrel.a alone
	$(CARGO) build --release
	@scripts/listing $(LIBRARY) $(TARGET)/listing.txt

.PHONY: cli
cli: ## Build the command spandrel alone, next to the library
	$(CARGO) build --profile tool --package spandrel-cli
	@mkdir -p $(TARGET)/release && cp -f $(TARGET)/tool/spandrel $(TARGET)/release/spandrel.$$$$ && mv -f $(TARGET)/release/spandrel.$$$$ $(TARGET)/release/spandrel

.PHONY: checked
checked: ## Build target/checked/libspandrel.so, which checks its structures after each slow call
	$(CARGO) build --profile checked

demo: library ## Run real programs with and without the preload and compare
	@scripts/demo

test: build checked ## Run all tests; print how many passed and how long each suite took
	@scripts/test

.PHONY: quick
quick: ## After a change, in a minute: format, layers, prose, unit tests of what changed, instructions of the fast path
	@LIMITS='$(LIMITS)' scripts/quick

check: library ## Check format, lints, layers, prose, symbols, header and docs, and that what describes a change follows it
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --exclude spandrel --exclude spandrel-jemalloc --all-targets --features spandrel-xtask/tables,spandrel-alloc/allocator-api2 -- --deny warnings
	$(CARGO) clippy --package spandrel --package spandrel-jemalloc -- --deny warnings
	$(XTASK) layers
	$(XTASK) prose
	$(XTASK) cold-call --limit $(COLD_FILES)
	$(XTASK) symbols
	$(XTASK) header --check
	$(TABLES) docs --check
	$(ATTACK) page --check
	$(XTASK) follow
	@echo "check: everything is in order"

install: ## Install what `make build` made: library, command, header, man pages, completions, pkg-config and CMake files (PREFIX, LIBDIR, DESTDIR)
	@PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' scripts/install install $(TARGET)/release

uninstall: ## Remove what install put there (same PREFIX, LIBDIR, DESTDIR)
	@PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' scripts/install uninstall

deb: build ## Make the Debian packages libspandrel0, libspandrel-dev and spandrel in target/deb
	@scripts/deb $(TARGET)/release $(TARGET)/deb

startup: library ## Compare /bin/true with and without the preload over 200 interleaved runs
	$(CARGO) build --quiet --package spandrel-xtask
	@$(XTASK) measure --runs 200 --max-ratio 1.1 --max-extra-kib 1024 /bin/true

instructions: library ## Count the instructions of the fast path, and of a pair in other modes (needs valgrind)
	@$(XTASK) instructions --limits $(LIMITS) --modes $(MODE_LIMITS)

.PHONY: allocator-fast-path-check native-memory-control-check evidence
# A part of the stress suite: what threads share.
SHARED = --scenario remote-free --profile hosted-small
allocator-fast-path-check: library ## Measure the flows, the page backend and some stress anew, compare with docs/evidence; no calls or locks on the fast path
	@$(XTASK) gate check --file fast-path --file page-backend --file stress --quick $(SHARED)

native-memory-control-check: library ## The same, and look at profiles, hooks, limits, exhaustion, shutdown and modes, and compare with docs/evidence
	@$(XTASK) gate check --skip numa $(SHARED)
	@TEST_CALLS=all $(CARGO) test --quiet --package spandrel-tests --test injection

evidence: build ## Measure and rewrite the figures in docs/evidence, and the pages that are generated
	@$(XTASK) gate record
	@$(XTASK) header
	@$(ATTACK) page
	@$(TABLES) docs

STRESS = $(CARGO) run --quiet --release --package spandrel-stress --
SOAK_MINUTES ?= 60
.PHONY: stress stress-check soak
stress: build ## Run every stress scenario in every profile for a second (a minute in all)
	@$(STRESS) run

stress-check: build ## Run what docs/evidence/stress.toml records again, and compare
	@$(XTASK) gate check --file stress

soak: build ## Run the stress scenarios for SOAK_MINUTES (60) in all, and draw memory over time
	@$(STRESS) soak --minutes $(SOAK_MINUTES)

.PHONY: tenants
tenants: library ## A thousand tenants in named heaps come and go for a minute; prints their figures, and the time to destroy heaps
	@TENANTS_SECONDS=60 $(CARGO) test --quiet --package spandrel-tests --test heaps -- thousand_tenants --nocapture

ATTACK = $(CARGO) run --quiet --package spandrel-attack --
.PHONY: attack attack-publish
attack: library peers ## Attack Spandrel and other allocators in 200 ways, compare, and fail if a goal is not reached (half an hour)
	@$(ATTACK) run --runs 2

attack-publish: ## Put the results of the last `make attack` into docs/attacks, and write docs/attacks.md
	@$(ATTACK) publish

.PHONY: examples
examples: library ## Build and run the examples
	@$(MAKE) --no-print-directory -C examples

.PHONY: mutants
mutants: ## Break the promises of docs/ one by one in a copy of the sources, and want a test to fail each time (ONLY="WORD ...": those with such names)
	@$(CARGO) run --quiet --package spandrel-mutants -- run $(ONLY)

.PHONY: numa-check
numa-check: library ## Boot an emulated machine with two NUMA nodes and look where pages lie (installs qemu-system-x86)
	@$(XTASK) gate check --file numa

.PHONY: idle-check
idle-check: library ## Stop a call at every instruction boundary, drain what its thread holds, and look for lost or doubled blocks (a minute or two)
	@SPANDREL_STEPS=all $(CARGO) test --quiet --package spandrel-tests --test steps
	@$(CARGO) test --quiet --package spandrel-tests --test idle

peers: ## Build the allocators to compare with into target/peers
	@scripts/peers

STUDIES = study-lookup study-faults study-exchanges study-bins study-modes study-latency study-profiles study-large study-fragmentation study-steady study-crates study-heaps
.PHONY: study $(STUDIES) bench-crate
study: $(STUDIES) ## Measure the alternatives of the design again and rewrite docs/studies (half an hour)

$(STUDIES): study-%:
	$(CARGO) build --quiet --release --package spandrel-studies --package spandrel-workloads
	$(CARGO) build --quiet --release --package spandrel-xtask --bin spandrel-measure
	@$(TARGET)/release/spandrel-study $*

bench-crate: study-crates ## Compare the Rust package with the crates of other allocators, and rewrite docs/studies/crates.md (five minutes)

# How long `make bench` may measure; the build, the peers and the report come on top.
BENCH_MINUTES ?= 32
bench: library ## Compare with other allocators, in full (BENCH_MINUTES: 32), best on a quiet machine; fail if a published figure is missed
	@scripts/bench --minutes $(BENCH_MINUTES)

bench-quick: library ## Compare with fewer allocators, programs and less work in four minutes; fail if a published figure is missed
	@scripts/bench --quick --minutes 4

# ALL=--all: also the allocators that are not hardened.
ALL ?=
.PHONY: bench-security bench-security-publish
bench-security: library ## Hardened allocators beside the defaults: geometric means of time and memory, in a quarter of an hour once the peers are built
	@scripts/bench security --minutes 14 $(ALL)

bench-security-publish: ## Record the means of the last bench-security, unless it misses a published figure, and draw them against the attacks of docs/attacks
	@$(CARGO) run --quiet --profile tool --package spandrel-lab -- security-publish

bench-publish: ## Put report and pictures of the last full run into docs/benchmarks, unless it misses a published figure
	@$(CARGO) run --quiet --profile tool --package spandrel-lab -- publish

header: ## Generate include/spandrel.h
	@$(XTASK) header

docs: ## Generate docs/options.md, docs/diagnostics.md, docs/attacks.md, the index docs/README.md, the man pages and the completions
	@$(ATTACK) page
	@$(TABLES) docs

.PHONY: pictures
pictures: build ## Make the pictures in docs/pictures of screens and pages anew (installs a browser)
	@scripts/pictures

self-host: library ## Build and test this project under its own preload
	@scripts/self-host $(LIBRARY)

format: ## Format the sources
	$(CARGO) fmt --all

clean: ## Remove everything that was built
	$(CARGO) clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
