// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

/// What the cluster makes of its hosts, step by step, and whether it may.
///
/// Hosts are addresses here: which server is behind one is not known to the cluster.
struct Perception {
    private struct Host {
        /// Whether it is one of the cluster's, and since when that is so.
        var isMember = true
        var changedAt: Int64 = 0
        /// Its leases are void, too.
        var isCutOff = false
        var drainedAt: Int64?
        /// Checks in a row that met silence, or that lost a session which had not answered anything yet.
        var misses = 0
        /// The last check met the proof that there is no server.
        var isRefused = false
    }

    /// A lease that was granted may still be on its way to its user while the connection is validated: `workTimeout` at the
    /// most, and that is drawn up to 2 s.
    private static let handOver: Int64 = 2_100_000_000

    private var hosts: [Host]
    /// The hosts that take writes.
    private(set) var writers: Set<Int> = []

    init(addresses count: Int) {
        hosts = Array(repeating: Host(), count: count)
    }

    func isMember(_ address: Int) -> Bool { hosts[address].isMember }
    func isDrained(_ address: Int) -> Bool { hosts[address].drainedAt != nil }

    // MARK: - What the operator tells the cluster

    /// - Parameter isCutOff: Whether leases of it are void at once.
    mutating func removed(_ address: Int, isCutOff: Bool, at now: Int64) {
        hosts[address] = Host(isMember: false, changedAt: now, isCutOff: isCutOff)
    }

    mutating func added(_ address: Int, at now: Int64) {
        hosts[address] = Host(changedAt: now)
    }

    mutating func drained(_ address: Int, at now: Int64) {
        if hosts[address].drainedAt == nil { hosts[address].drainedAt = now }
    }

    mutating func undrained(_ address: Int) {
        hosts[address].drainedAt = nil
    }

    // MARK: - What monitors meet

    mutating func answered(_ address: Int) {
        hosts[address].misses = 0
        hosts[address].isRefused = false
    }

    mutating func failed(_ address: Int, _ kind: SimulatedError.Kind, isFirst: Bool) {
        hosts[address].isRefused = kind == .refused
        if kind == .timedOut || kind == .lost && isFirst { hosts[address].misses += 1 }
    }

    // MARK: - What the cluster does

    /// - Returns: What is wrong with that.
    mutating func serves(_ address: Int, writes: Bool) -> String? {
        if !writes {
            writers.remove(address)
            return nil
        }
        writers.insert(address)
        guard writers.count > 1 else { return nil }
        return "\(writers.count) hosts in the write set: \(writers.sorted())"
    }

    /// - Returns: What is wrong with that.
    func declaredOut(_ address: Int) -> String? {
        let host = hosts[address]
        guard host.isMember, host.misses < 2, !host.isRefused else { return nil }
        return "host \(address) is taken for lost after \(host.misses) silent checks"
    }

    /// - Returns: What is wrong with a statement on a lease of that age.
    func objection(to address: Int, leasedAt: Int64, at now: Int64) -> String? {
        let host = hosts[address]
        if !host.isMember, host.isCutOff, now > host.changedAt { return "it was removed, and its leases were void" }
        if !host.isMember, leasedAt > host.changedAt + Self.handOver { return "the lease is younger than its removal" }
        if let drainedAt = host.drainedAt, leasedAt > drainedAt + Self.handOver { return "it was drained before" }
        return nil
    }
}
