#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every test target in a process of its own, one after the other: some tests starve the process they run in, or
# count its file descriptors, and real servers want the machine for themselves.
#
# usage: test.sh [swift test options]     TARGETS="A B" limits it to these targets, SKIPPED="A B" leaves these suites out
set -eu
cd "$(dirname "$0")/.."
: "${SWIFT:=swift}"
: "${TARGETS:=$(cd Tests && echo *Tests)}"

# Some tests have many connections at once.
if [ "$(ulimit -S -n)" != unlimited ] && [ "$(ulimit -S -n)" -lt 8192 ]; then
    ulimit -S -n 8192 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" || true
fi

# The packages are fetched over a network that may fail for a moment.
for pause in 5 15 0; do
    $SWIFT package "$@" resolve && break
    sleep "$pause"
done
skips=
for suite in ${SKIPPED:-}; do skips="$skips --skip $suite"; done
$SWIFT build --build-tests "$@"
report=$(mktemp)
log=$(mktemp)
trap 'rm -f "$report" "$log"' EXIT
trap 'exit 130' INT TERM
for target in $TARGETS; do
    echo "== $target"
    {
        $SWIFT test --skip-build "$@" $skips --filter "^$target\\." 2>&1 || echo "FAILED: $target ($?)" >>"$report"
    } | tee "$log"
    if grep -q "^FAILED: $target " "$report"; then
        grep -E "✘|recorded an issue|error:|Fatal|ThreadSanitizer|Crash|signal" "$log" >>"$report" || true
    fi
done
# What failed is repeated at the end, where it is looked for.
if [ -s "$report" ]; then
    cat "$report" >&2
    exit 1
fi
