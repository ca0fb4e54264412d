// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

// What the cluster may make of its hosts. Whatever returns a string returns what is wrong.

extension Perception {
    /// A lease that was granted may still be on its way to its user while the connection is validated: `workTimeout` at the
    /// most, and that is drawn up to 2 s.
    private static let handOver: Int64 = 2_100_000_000
    /// So many outages, each so soon after the one before, are too many for a host that serves reads.
    private static let mostOutages = 2
    private static let memory: Int64 = 30_000_000_000
    /// By so much an alarm may be late.
    private static let tolerance: Int64 = 100_000_000
    /// So long does the first primary wait for a host that nobody has heard and that replicas follow. It begins with the
    /// election, and that with the first answer of the last host, which may be at once.
    private static let patience: Int64 = 3_000_000_000

    // MARK: - Statements

    /// - Returns: What is wrong with a statement on a lease of that age.
    func objection(to address: Int, leasedAt: Int64, at now: Int64) -> String? {
        let host = hosts[address]
        if !host.isMember, host.isCutOff, now > host.changedAt { return "it was removed, and its leases were void" }
        if !host.isMember, leasedAt > host.changedAt + Self.handOver { return "the lease is younger than its removal" }
        if let drainedAt = host.drainedAt, leasedAt > drainedAt + Self.handOver { return "it was drained before" }
        return nil
    }

    // MARK: - Services

    mutating func serves(_ address: Int, _ services: ServiceClass, at now: Int64) -> String? {
        let before = hosts[address].services
        hosts[address].services = services
        if services.isDisjoint(with: .reads) {
            hosts[address].readsSince = .max
        } else if before.isDisjoint(with: .reads) {
            hosts[address].readsSince = now
        }
        if services.isEmpty, !before.isEmpty { hosts[address].withdrawnAt = now }
        let complaint = isRejected(address) ? "host \(address) serves, and was decided against" : nil
        guard services.contains(.primary) else {
            writers.remove(address)
            return complaint
        }
        let former = lastWriter
        writers.insert(address)
        lastWriter = address
        if writers.count > 1 { return "\(writers.count) hosts in the write set: \(writers.sorted())" }
        if let complaint { return complaint }
        guard let former else { return objection(toFirst: address, at: now) }
        return objection(to: address, after: former)
    }

    /// A process that has just started knows nothing, and hears first of whoever answers first.
    private func objection(toFirst address: Int, at now: Int64) -> String? {
        let unheard = members.filter { !hosts[$0].isHeard }
        guard let one = unheard.first else { return nil }
        if now < rules.grace { return "host \(address) is the first primary, and host \(one) was not waited for" }
        guard now < Self.patience, let report = hosts[address].report else { return nil }
        let followed = members.compactMap { upstream(of: $0, like: report) }
        let names = [SimulatedDriver.Endpoint(host: address).description, report.address]
        let missing = unheard.first { followed.contains(SimulatedDriver.Endpoint(host: $0).description) }
        guard let missing, !followed.contains(where: names.contains) else { return nil }
        return "host \(address) is the first primary, and replicas follow host \(missing), which nobody has asked"
    }

    /// Whom the replica follows, by its last answer, on the timeline of the other one.
    private func upstream(of address: Int, like other: HostReport) -> String? {
        guard hosts[address].answersChecks, let report = hosts[address].report, report.isInRecovery,
            report.systemIdentifier == other.systemIdentifier, report.timeline == other.timeline
        else { return nil }
        return report.upstream
    }

    private func objection(to address: Int, after former: Int) -> String? {
        guard !rules.followsTimelines, rejected == nil, former != address, hosts[former].isMember,
            hosts[former].answersChecks, let report = hosts[former].report, !report.isInRecovery,
            report.timeline ?? 0 < hosts[address].report?.timeline ?? 0
        else { return nil }
        return "the writes left host \(former), which answers as the primary, and nobody had decided so"
    }

    /// The operator wants nothing of what is on those timelines.
    mutating func decided(against timelines: ClosedRange<UInt32>) -> String? {
        rejected = timelines
        let host = hosts.indices.first { !hosts[$0].services.isEmpty && isRejected($0) }
        return host.map { "host \($0) goes on serving, and was decided against" }
    }

    private func isRejected(_ address: Int) -> Bool {
        guard let rejected, !hosts[address].services.isEmpty, let timeline = hosts[address].report?.timeline else {
            return false
        }
        return rejected.contains(timeline)
    }

    // MARK: - Events

    /// - Parameters:
    ///   - stall: The longest time within the last ``Rules/evidenceLife`` in which the process was away.
    ///   - isAlias: Whether the host is the primary under another name.
    mutating func event(
        _ kind: ClusterEvent.Kind,
        at address: Int,
        now: Int64,
        stall: @autoclosure () -> Duration,
        isAlias: Bool
    ) -> String? {
        let host = hosts[address]
        let isOvertaken = host.isOvertaken && host.reportedAt == now
        switch kind {
        case .stateChanged(_, .unknown):
            let absence = stall()
            guard absence > .milliseconds(100) else { return nil }
            return "host \(address) is out, because this process was away for \(absence)"
        case .stateChanged(let from, let state):
            let complaint = changed(address, from, to: state, at: now)
            return host.isMember ? complaint : nil
        case .roleChanged(.primary, .replica) where isOvertaken, .quarantined where isOvertaken:
            return "host \(address) is no primary any more, because of an answer that was overtaken"
        case .quarantined where isAlias:
            return "host \(address) is kept out, and is the primary under another name"
        case .heldDown(let length):
            hosts[address].heldUntil = now + Int64(length / .nanoseconds(1))
            return nil
        default: return nil
        }
    }

    private mutating func changed(_ address: Int, _ from: HostState, to state: HostState, at now: Int64) -> String? {
        let host = hosts[address]
        if state.isOut, !from.isOut { hosts[address].outAt = now }
        if state.isOut, from == .up || from == .busy { hosts[address].outages.append(now) }
        if state == .down || state == .frozen, host.misses < 2, !host.isRefused {
            return "host \(address) is taken for lost after \(host.misses) silent checks"
        }
        if state == .frozen, host.failureAskedAt < host.servedUserAt, host.servedUserAt < now {
            return "host \(address) is taken for frozen, and its users were answered meanwhile"
        }
        if state == .busy, from == .up, host.withdrawnAt == now {
            return "host \(address) is full, and does not serve those any more who are there"
        }
        guard state == .up, from.isOut, let outAt = host.outAt else { return nil }
        hosts[address].outAt = nil
        if from != .misconfigured, host.askedAt < outAt {
            return "host \(address) is used again, because of an answer of before it went out"
        }
        if isFlapping(host, at: now), host.services.contains(.replica), isReadElsewhere(than: address, before: now) {
            return "host \(address) went out \(host.outages.count) times, and serves reads at once"
        }
        return nil
    }

    private func isFlapping(_ host: Host, at now: Int64) -> Bool {
        let last = host.outages.suffix(Self.mostOutages + 1)
        guard last.count > Self.mostOutages else { return false }
        return zip(last, last.dropFirst() + [now]).allSatisfy { $1 - $0 < Self.memory }
    }

    private func isReadElsewhere(than address: Int, before now: Int64) -> Bool {
        hosts.indices.contains { $0 != address && hosts[$0].services.contains(.replica) && hosts[$0].readsSince < now }
    }

    // MARK: - As time passes

    /// Those that the process was not away for.
    func complaint(at now: Int64) -> String? {
        let limit = rules.evidenceLife + rules.checkTimeout + Self.tolerance
        let old = members.first { !hosts[$0].services.isEmpty && hosts[$0].livedAt < now - limit }
        return old.map { "host \($0) serves, and has answered nobody for \((now - hosts[$0].livedAt) / 1_000_000) ms" }
    }

    /// Whether somebody was held down, and may still be.
    var holds: Bool { hosts.contains { $0.heldUntil != nil } }

    /// - Parameters:
    ///   - held: The hosts that are held down.
    ///   - isRead: Whether any host serves reads.
    mutating func complaint(held: Set<Int>, isRead: Bool, at now: Int64) -> String? {
        for address in hosts.indices {
            guard let end = hosts[address].heldUntil else { continue }
            if held.contains(address) {
                if now > end + Self.tolerance { return "host \(address) is held down for ever" }
            } else if now > end {
                hosts[address].heldUntil = nil
            }
        }
        guard let one = held.first, !isRead else { return nil }
        return "host \(one) is held down, and nobody else serves reads"
    }
}

extension HostState {
    /// Proven to be unusable.
    fileprivate var isOut: Bool { [.down, .starting, .frozen, .misconfigured].contains(self) }
}
