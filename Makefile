# Every target does its own set-up; what was done before is not done again.
SHELL := /bin/bash
run := scripts/swift-env
sources := Package.swift Sources Tests
golden := $(abspath $(or $(UNIMED_GOLDEN),../shared/golden))
data := $(abspath $(or $(UNIMED_DATA),../shared/data))

.PHONY: help
help: ## Shows this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | column -t -s '|'

.PHONY: setup
setup: ## Installs LibTorch into .deps and the Debian packages that are missing
	scripts/setup

.PHONY: build
build: ## Builds the program: .build/release/unimed
	$(run) swift build -c release --product unimed

.PHONY: demo
demo: build ## Trains a small Uni-Med on phantoms from nothing, evaluates it, asks it: runs/demo/evaluation/report.html
	.build/release/unimed demo

.PHONY: test
# One after the other: the process has one default generator and one number of threads, on which bit-exact runs depend.
test: ## Runs every test
	scripts/test

# The tests that read a root are those whose file names it.
files_with = $(shell grep -lrE '$(1)' Tests --include='*Tests.swift' | sed 's:.*/::' | sort | paste -s -d '|' -)

.PHONY: test-parity
test-parity: ## Runs the tests against the reference numbers in UNIMED_GOLDEN
	@test -d "$(golden)" || { echo "there is no folder $(golden); set UNIMED_GOLDEN" >&2; exit 2; }
	UNIMED_GOLDEN="$(golden)" scripts/test --filter '$(call files_with,UNIMED_GOLDEN|Golden|Parity)'

.PHONY: test-data
test-data: ## Runs the tests on the real data in UNIMED_DATA
	@test -d "$(data)" || { echo "there is no folder $(data); set UNIMED_DATA" >&2; exit 2; }
	UNIMED_DATA="$(data)" scripts/test --filter '$(call files_with,UNIMED_DATA|RealData)'

.PHONY: fuzz
fuzz: ## Feeds the readers with damaged files: make fuzz [seed=N] [count=N] [format=NAME]
	$(run) swift build -c release --product unimed-fuzz
	.build/release/unimed-fuzz --count $(or $(count),1000000) $(if $(seed),--seed $(seed)) $(if $(format),--format $(format))

.PHONY: check
check: ## Lint, then every test, as the continuous integration does
	scripts/check

.PHONY: bench
bench: build scripts/setup-peer ## Measures speed beside Python's PyTorch
	scripts/setup-peer
	.build/release/unimed bench

.PHONY: docs
docs: ## Writes the reference of the libraries' public symbols to .build/docs
	scripts/docs

.PHONY: format
format: ## Formats the Swift sources
	swift format --in-place --recursive --parallel $(sources)

.PHONY: lint
lint: ## Checks the Swift sources' format and rules
	swift format lint --strict --recursive --parallel $(sources)
