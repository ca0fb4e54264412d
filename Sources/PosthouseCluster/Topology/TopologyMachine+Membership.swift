// SPDX-License-Identifier: Apache-2.0

extension TopologyMachine {
    mutating func add(
        _ host: Int,
        label: String,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        var record = HostRecord(label: label)
        // It comes to a cluster whose other hosts are warm.
        record.slowStart.cool()
        if host == hosts.count {
            hosts.append(record)
        } else if hosts.indices.contains(host), hosts[host].isRemoved {
            hosts[host] = record
        } else {
            return
        }
        actions.append(.emit(ClusterEvent(host: label, kind: .added, at: now)))
    }

    mutating func drain(_ host: Int, now: ContinuousClock.Instant, into actions: inout [Action]) {
        guard !hosts[host].isDrained else { return }
        hosts[host].isDrained = true
        if !isOff(.drained) { retire(host, into: &actions) }
        actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .drained, at: now)))
    }

    mutating func undrain(_ host: Int, now: ContinuousClock.Instant, into actions: inout [Action]) {
        guard hosts[host].isDrained else { return }
        hosts[host].isDrained = false
        actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .undrained, at: now)))
    }

    /// Reads in progress may end on a host that is watched no longer. Writes may not: nobody would see that it is replaced.
    mutating func remove(_ host: Int, now: ContinuousClock.Instant, into actions: inout [Action]) {
        if hosts[host].report?.isInRecovery == true, !hosts[host].isFenced {
            retire(host, into: &actions)
        } else {
            fence(host, into: &actions)
        }
        if incumbent == host { incumbent = nil }
        var tombstone = HostRecord(label: hosts[host].label)
        tombstone.isRemoved = true
        hosts[host] = tombstone
        actions.append(.emit(ClusterEvent(host: tombstone.label, kind: .removed, at: now)))
    }

    /// Nothing new, and no connection is kept. In this order: else the pool would open others meanwhile.
    private mutating func retire(_ host: Int, into actions: inout [Action]) {
        if !hosts[host].serves.isEmpty { actions.append(.serve(host: host, [])) }
        hosts[host].serves = []
        expire(host, into: &actions)
    }
}
