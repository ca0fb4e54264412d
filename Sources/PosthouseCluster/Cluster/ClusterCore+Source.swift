// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// What a source needs of the cluster.
extension ClusterCore {
    func sight(of endpoint: Driver.Endpoint) -> HostRoster<Driver.Endpoint>.Sight {
        state.withLock { state in
            guard let host = Self.host(of: endpoint, in: state), state.machine.hosts.indices.contains(host) else {
                return .init()
            }
            // A primary that is drained, or whose writes are held back, is the primary all the same.
            let isPrimary = state.machine.primary == host || state.machine.incumbent == host
            return .init(isPrimary: isPrimary, isInUse: !state.machine.hosts[host].serves.isEmpty)
        }
    }

    /// How many connections to a host are in the hands of callers.
    func leases(on endpoint: Driver.Endpoint) -> Int {
        let member = state.withLock { state in Self.host(of: endpoint, in: state).map { state.slots[$0].member } }
        guard let member else { return 0 }
        return group.snapshot().members.first { $0.member == member }?.leased ?? 0
    }

    private static func host(of endpoint: Driver.Endpoint, in state: State) -> Int? {
        state.slots.firstIndex { $0.endpoint == endpoint && !$0.isRemoved }
    }
}
