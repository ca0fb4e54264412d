// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Keeps, from what the hosts' checks say, which replicas may serve which reads.
///
/// Each rule that is in use has a filter of the pool group, so that a read that waits for a fresh replica is served by the
/// first that becomes one. Told of reports by one task at a time (``ClusterCore``), asked by all.
final class Freshness<Connection: Sendable>: Sendable {
    fileprivate struct State {
        var meter: LagMeter
        var lags: [Int: ReplicaLag] = [:]
        /// The primary has not told where it is for too long: until one does, nobody knows who is behind.
        var isBlind = false
        var rules = ReadRules()
        var filters: [Int: MemberFilter] = [:]
        var hosts: [ReadRules.Host] = []
        /// By host.
        var members: [MemberID] = []
        var systemIdentifier: UInt64?
        var timeline: UInt32?
    }

    private let group: PoolGroup<Connection>
    private let state: Guarded<State>
    /// Reads wait here for a timeline that this process has not heard of.
    private let timelines = ConditionQueue<UInt32>()

    init(_ group: PoolGroup<Connection>, longestGap: Duration) {
        self.group = group
        state = Guarded(State(meter: LagMeter(longestGap: longestGap)))
    }

    /// How far the host is behind, if it is a replica and that is known.
    func lag(of host: Int) -> ReplicaLag? { state.withLock { $0.lags[host] } }

    /// Something was learned about hosts.
    ///
    /// - Parameters:
    ///   - event: What it was.
    ///   - machine: What follows from it.
    ///   - members: The hosts' members of the group.
    ///   - readless: Hosts that are to get no reads.
    func note(
        _ event: TopologyMachine.Event?,
        _ machine: TopologyMachine,
        _ members: [MemberID],
        readless: Set<Int>,
        now: ContinuousClock.Instant
    ) {
        let changes = state.withLock { state in
            // Where another server is in the log that answers at the address says nothing of the host.
            if let (host, report, asked) = event?.answer, machine.reach(of: report, at: host) == .theSame {
                let isPrimary = machine.hosts[host].serves.contains(.primary)
                let isLatest = machine.isLatest(asked, of: host)
                state.measure(report, of: host, asked: asked, isPrimary: isPrimary, isLatest: isLatest)
            }
            state.members = members
            state.systemIdentifier = machine.systemIdentifier
            state.timeline = machine.highestTimeline
            // A host may serve for longer than its last report tells how far it is.
            if !machine.knowsThePrimarysPosition(at: now) { state.isBlind = true }
            state.hosts = machine.hosts.enumerated().map { index, host in
                let isReplica = host.serves.contains(.replica) && !readless.contains(index)
                if state.isBlind || host.role != .replica || !machine.isCurrent(index, now: now) {
                    state.lags[index] = nil
                }
                return ReadRules.Host(
                    isPrimary: host.serves.contains(.primary),
                    isReplica: isReplica,
                    lag: state.lags[index]
                )
            }
            return state.changes(now: now)
        }
        // Outside the lock: whoever is served by it runs.
        for (filter, members) in changes { group.setFilter(filter, members: members) }
        if let timeline = machine.highestTimeline { timelines.post(timeline) }
    }

    /// A healthy host said again what it is, and where it is in the log.
    func note(_ routine: RoutineReport, now: ContinuousClock.Instant) {
        let host = routine.host
        let changes = state.withLock { state in
            state.measure(
                routine.report,
                of: host,
                asked: routine.asked,
                isPrimary: routine.isPrimary,
                isLatest: routine.isLatest
            )
            if !routine.isMeasured { state.isBlind = true }
            if state.isBlind { state.lags[host] = nil }
            if state.hosts.indices.contains(host) { state.hosts[host].lag = state.lags[host] }
            return state.changes(now: now)
        }
        for (filter, members) in changes { group.setFilter(filter, members: members) }
    }

    func close() { timelines.close() }

    /// Begins to use a rule; to be ended by ``endUse(_:)`` when the request has its connection, or none.
    func use(_ rule: ReadRule, now: ContinuousClock.Instant) -> (number: Int, filter: MemberFilter, hosts: Set<Int>) {
        let (use, filter, gone) = state.withLock { state in
            let use = state.rules.use(rule, hosts: state.hosts, now: now)
            let gone = use.gone.compactMap { state.filters.removeValue(forKey: $0) }
            let filter = state.filters[use.number] ?? group.addFilter(state.members(of: use.hosts))
            state.filters[use.number] = filter
            return (use, filter, gone)
        }
        for filter in gone { group.removeFilter(filter) }
        return (use.number, filter, use.hosts)
    }

    /// The hosts that may serve under a rule that is in use.
    func hosts(of number: Int) -> Set<Int> { state.withLock { $0.rules.hosts(of: number) } }

    func endUse(_ number: Int) {
        state.withLock { $0.rules.endUse(number) }
    }
}

// MARK: - Tokens

extension Freshness {
    /// What the token says of the cluster, compared to what is known.
    enum Standing {
        /// Of another cluster.
        case foreign(ours: UInt64)
        /// Of a timeline that nobody here has told of yet.
        case ahead
        case known
    }

    func standing(of token: CommitToken) -> Standing {
        let (system, timeline) = state.withLock { ($0.systemIdentifier, $0.timeline) }
        if let theirs = token.systemIdentifier, let ours = system, theirs != ours { return .foreign(ours: ours) }
        guard let theirs = token.timeline, let ours = timeline else { return .known }
        return theirs > ours ? .ahead : .known
    }

    /// Waits until a server tells of the token's timeline, or a later one.
    func wait(
        for timeline: UInt32,
        until deadline: ContinuousClock.Instant,
        clock: any ClusterClock
    ) async -> ConditionQueue<UInt32>.Outcome {
        await timelines.wait(
            until: deadline,
            clock: clock,
            current: { self.state.withLock { $0.timeline } ?? 0 },
            { $0 >= timeline }
        )
    }
}

extension TopologyMachine {
    /// Whether it is known where the primary is in the log, or there is none.
    func knowsThePrimarysPosition(at now: ContinuousClock.Instant) -> Bool {
        primary.map { isCurrent($0, now: now) } ?? true
    }

    /// Whether the host's last report is still new.
    fileprivate func isCurrent(_ host: Int, now: ContinuousClock.Instant) -> Bool {
        hosts[host].reportedAt.map { $0 + settings.evidenceLife > now } ?? false
    }
}

extension Freshness.State {
    fileprivate mutating func measure(
        _ report: HostReport,
        of host: Int,
        asked: ContinuousClock.Instant,
        isPrimary: Bool,
        isLatest: Bool
    ) {
        if isPrimary, !report.isInRecovery, let position = report.position {
            meter.noteWritten(position, timeline: report.timeline, asked: asked)
            isBlind = false
        } else if report.isInRecovery, isLatest {
            lags[host] = meter.lag(
                replayed: report.position,
                timeline: report.timeline,
                asked: asked
            )
        }
    }

    /// The filters whose hosts are others now.
    fileprivate mutating func changes(now: ContinuousClock.Instant) -> [(MemberFilter, [MemberID])] {
        rules.reconsider(hosts, now: now).compactMap { number, hosts in
            filters[number].map { ($0, members(of: hosts)) }
        }
    }

    fileprivate func members(of hosts: Set<Int>) -> [MemberID] {
        hosts.sorted().compactMap { members.indices.contains($0) ? members[$0] : nil }
    }
}
