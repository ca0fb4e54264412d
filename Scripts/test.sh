#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every test target in a process of its own, one after the other: some tests starve the process they run in, or
# count its file descriptors, and real servers want the machine for themselves.
#
# usage: test.sh [swift test options]     TARGETS="A B" limits it to these targets
set -eu
cd "$(dirname "$0")/.."
: "${SWIFT:=swift}"
: "${TARGETS:=$(cd Tests && echo *Tests)}"

$SWIFT build --build-tests "$@"
failed=""
for target in $TARGETS; do
    echo "== $target"
    $SWIFT test --skip-build "$@" --filter "^$target\\." || failed="$failed $target"
done
if [ -n "$failed" ]; then
    echo "FAILED:$failed" >&2
    exit 1
fi
