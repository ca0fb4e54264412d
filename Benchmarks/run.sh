#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the benchmarks, installs the Python peers into a virtual environment beside this file, and compares them all.
# Options go to the comparison (--help lists them); so do BENCH_ROUNDS and BENCH_SECONDS from the environment.
set -euo pipefail
cd "$(dirname "$0")"
swift="${SWIFT:-swift}"

# A peer that cannot be installed is missing from the run, and the report says so. Already there: nothing to do.
install_peers() {
    if cmp -s peers/requirements.txt .venv/installed.txt; then return; fi
    rm -rf .venv
    if ! python3 -m venv .venv; then
        echo "bench: no Python peers: python3 -m venv failed (Debian: apt install python3-venv)" >&2
        return
    fi
    local complete=yes requirement
    while read -r requirement; do
        case "$requirement" in "" | "#"*) continue ;; esac
        # One by one, so that one that fails does not take the others with it.
        if ! .venv/bin/pip install --quiet --disable-pip-version-check "$requirement" >&2; then
            echo "bench: $requirement could not be installed" >&2
            complete=no
        fi
    done <peers/requirements.txt
    if [ "$complete" = yes ]; then cp peers/requirements.txt .venv/installed.txt; fi
}

install_peers
"$swift" build --quiet -c release --product SelectOne
exec "$("$swift" build -c release --show-bin-path)/SelectOne" compare \
    --python .venv/bin/python --peers peers --output results \
    --swift-version "$("$swift" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -1)" \
    ${BENCH_ROUNDS:+--rounds "$BENCH_ROUNDS"} ${BENCH_SECONDS:+--seconds "$BENCH_SECONDS"} "$@"
