#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Posthouse needs from the system and is not there: libpq's headers, a PostgreSQL server with its
# contributed modules for the tests and the demo, PgBouncer, OpenSSL's command for test certificates, and for the tests of
# high availability Patroni with etcd, HAProxy, and a packet filter, without which these tests are left out.
set -eu

missing=""
need() { # need PACKAGE TEST...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
wanted=""
want() { # want PACKAGE TEST...: as need, but without it only some tests are left out
    package=$1
    shift
    "$@" >/dev/null 2>&1 || wanted="$wanted $package"
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
want patroni command -v patroni
want etcd-server command -v etcd
want haproxy has_system_program haproxy
want iptables has_system_program iptables
[ -z "$missing$wanted" ] && exit 0

# What is only wanted is no reason to fail.
give_up() { # give_up REASON
    echo "setup: $1:$missing$wanted" >&2
    [ -z "$missing" ] && exit 0
    exit 1
}

if ! command -v apt-get >/dev/null 2>&1; then
    give_up "these are missing and must be installed by hand (Debian's names)"
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    sudo="sudo"
    command -v sudo >/dev/null 2>&1 || give_up "run as root, or install by hand"
fi
echo "setup: installing$missing$wanted" >&2

# Another process may be installing something, and mirrors fail at times.
apt_get() { # apt_get COMMAND...
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@" >&2
}
# The tests and the demo start servers of their own: the packages need not run one.
install_all() { # install_all PACKAGE...
    for pause in 5 15 0; do
        apt_get update || true
        apt_get install -y --no-install-recommends "$@" && return 0
        sleep "$pause"
    done
    return 1
}

# shellcheck disable=SC2086
if [ -n "$missing" ] && ! install_all $missing; then
    echo "setup: could not install$missing" >&2
    exit 1
fi
# shellcheck disable=SC2086
if [ -n "$wanted" ] && ! install_all $wanted; then
    # Perhaps only one of them is not to be had.
    for package in $wanted; do
        install_all "$package" || echo "setup: WARNING: could not install $package: the tests that need it are LEFT OUT" >&2
    done
fi
echo "setup: done" >&2
