#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Posthouse needs from the system and is not there: libpq's headers, a PostgreSQL server with its
# contributed modules for the tests and the demo, PgBouncer, OpenSSL's command for test certificates, and for the tests of
# high availability Patroni with etcd, HAProxy, and a packet filter.
set -eu

missing=""
need() { # need PACKAGE TEST...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_server() {
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(pg_config --bindir 2>/dev/null)/initdb"; do
        [ -x "$initdb" ] && return 0
    done
    return 1
}
has_contrib() {
    for control in /usr/share/postgresql/*/extension/hstore.control \
        "$(pg_config --sharedir 2>/dev/null)/extension/hstore.control"; do
        [ -f "$control" ] && return 0
    done
    return 1
}

# Where ordinary users have no path to.
has_system_program() {
    command -v "$1" || [ -x "/usr/sbin/$1" ]
}

if [ "$(uname -s)" = Darwin ]; then
    need libpq pkg-config --exists libpq
    need postgresql has_server
    [ -z "$missing" ] && exit 0
    echo "setup: please run: brew install$missing" >&2
    exit 1
fi

need pkg-config command -v pkg-config
need libpq-dev test -f "$(pkg-config --variable=includedir libpq 2>/dev/null)/libpq-fe.h"
need postgresql has_server
need postgresql-contrib has_contrib
need pgbouncer has_system_program pgbouncer
need openssl command -v openssl
need patroni command -v patroni
need etcd-server command -v etcd
need haproxy has_system_program haproxy
need iptables has_system_program iptables
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: these are missing and must be installed by hand (Debian's names):$missing" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    sudo="sudo"
    command -v sudo >/dev/null 2>&1 || {
        echo "setup: run as root, or install by hand:$missing" >&2
        exit 1
    }
fi
echo "setup: installing$missing" >&2
# The tests and the demo start servers of their own: the packages need not run one.
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >&2
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >&2
echo "setup: done" >&2
