# SPDX-License-Identifier: Apache-2.0

SWIFT ?= swift
# These run under ThreadSanitizer: all that shares state between threads and needs no server.
SANITIZED = PosthouseReactorTests PosthousePoolTests PosthouseClusterTests
# But for the walks through machines that are values and share nothing: minutes of work for it, and nothing to find.
UNSHARED = MachineWalkTests BudgetWalkTests TopologyWalkTests HostRosterModelTests

.PHONY: all setup demo test test-tsan simulate soak bench format lint clean

all: setup
	$(SWIFT) build

## Installs what is missing: libpq's headers and a PostgreSQL server. Does nothing the second time.
setup:
	@Scripts/setup.sh

## Boots a local cluster, kills its primary under load, and shows what the application felt.
demo: setup
	$(SWIFT) build -c release --product posthouse
	@$$($(SWIFT) build -c release --show-bin-path)/posthouse demo

## All tests, against real servers too.
test: setup
	@Scripts/test.sh

## The reactor, the pool and the cluster under ThreadSanitizer.
test-tsan: setup
	@TARGETS="$(SANITIZED)" SKIPPED="$(UNSHARED)" Scripts/test.sh --sanitize=thread --scratch-path .build-tsan

## 50,000 failovers of a simulated cluster, on all cores, in some minutes. What fails is cut down and printed as a script.
simulate:
	$(SWIFT) build -c release --product PosthouseSimulate
	@$$($(SWIFT) build -c release --show-bin-path)/PosthouseSimulate

## A million of them.
soak:
	@POSTHOUSE_TEST_FAILOVERS=$${POSTHOUSE_TEST_FAILOVERS:-1000000} $(MAKE) simulate

## SELECT 1, the pool alone, lost primaries and what watching costs, each beside its peers; more than an hour.
bench: setup
	@Benchmarks/run.sh

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Benchmarks

clean:
	rm -rf .build .build-tsan Benchmarks/.build Benchmarks/.venv
