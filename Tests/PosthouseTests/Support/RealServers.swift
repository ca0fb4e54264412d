// SPDX-License-Identifier: Apache-2.0

import Testing

/// The cluster against real PostgreSQL servers. One test at a time: a small machine has room for one set of servers.
@Suite(.serialized, .timeLimit(.minutes(20))) enum RealServers {}
