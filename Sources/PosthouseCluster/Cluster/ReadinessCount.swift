// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// How many hosts can be used, by role. Drained hosts are not meant to be.
struct ReadinessCount: Sendable, Hashable {
    var primaries = 0
    var replicas = 0
    var aliases = 0
    var hosts = 0

    init(of hosts: [HostRecord]) {
        for host in hosts where !host.isRemoved && !host.isDrained {
            self.hosts += 1
            if host.serves.contains(.primary) { primaries += 1 }
            if !host.serves.isDisjoint(with: .reads) { replicas += 1 }
            if host.isAlias { aliases += 1 }
        }
    }

    /// A source may not have named anybody yet.
    var isComplete: Bool { hosts > 0 && primaries + replicas + aliases == hosts }
}
