#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the benchmarks, installs the peers (the Python ones into a virtual environment beside this file, HikariCP from
# Debian's packages), and compares them all.
#
# usage: run.sh [select1|pool|failover|patroni|cost [OPTION...]]
#
# All of them without options if nothing is said, which takes about an hour; --help lists a benchmark's options.
# BENCH_ROUNDS and BENCH_SECONDS from the environment are for select1.
set -euo pipefail
cd "$(dirname "$0")"
swift="${SWIFT:-swift}"
jars=/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar
classes=.build/peers

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

# As install_peers; also compiles our program for it.
install_hikari() {
    local missing=() sudo=() jar
    for jar in ${jars//:/ }; do
        if [ ! -f "$jar" ]; then missing=(libhikaricp-java libslf4j-java); fi
    done
    if ! command -v javac >/dev/null; then missing+=(default-jdk-headless); fi
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
        echo "bench: installing ${missing[*]}" >&2
        export DEBIAN_FRONTEND=noninteractive
        if ! { "${sudo[@]}" apt-get update -qq &&
            "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2; then
            echo "bench: HikariCP could not be installed (Debian: apt install ${missing[*]})" >&2
            return
        fi
    fi
    javac -cp "$jars" -d "$classes" peers/*.java || echo "bench: our program for HikariCP does not compile" >&2
}

swift_version() { "$swift" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -1; }

build() {
    # The plan of the last build: it would go on without files that Posthouse has got since.
    rm -f .build/release.yaml
    "$swift" build --quiet -c release --product "$1"
    program="$("$swift" build -c release --show-bin-path)/$1"
}

run_select1() {
    build SelectOne
    "$program" compare --python .venv/bin/python --peers peers --output results --swift-version "$(swift_version)" \
        ${BENCH_ROUNDS:+--rounds "$BENCH_ROUNDS"} ${BENCH_SECONDS:+--seconds "$BENCH_SECONDS"} "$@"
}

run_pool() {
    build PoolBench
    install_hikari
    local peers=()
    if [ -x .venv/bin/python ]; then peers+=(--python .venv/bin/python); fi
    if [ -f "$classes/HikariPool.class" ]; then peers+=(--java "$classes:$jars"); fi
    "$program" compare "${peers[@]}" --peers peers --output results --swift-version "$(swift_version)" "$@"
}

# Needs a PostgreSQL; what loses packets also root and iptables, Patroni's part Patroni, etcd and HAProxy.
run_failover() {
    build Failover
    local peer=()
    if [ -x .venv/bin/python ]; then peer+=(--python .venv/bin/python); fi
    "$program" "$1" "${peer[@]}" --peers peers --output results --swift-version "$(swift_version)" "${@:2}"
}

install_peers
case "${1:-all}" in
all)
    run_select1
    run_pool
    run_failover compare
    run_failover patroni
    run_failover cost
    ;;
select1) run_select1 "${@:2}" ;;
pool) run_pool "${@:2}" ;;
failover) run_failover compare "${@:2}" ;;
patroni) run_failover patroni "${@:2}" ;;
cost) run_failover cost "${@:2}" ;;
*)
    echo "usage: run.sh [select1|pool|failover|patroni|cost [OPTION...]]" >&2
    exit 64
    ;;
esac
