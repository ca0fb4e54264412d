// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// Who is in the cluster, who is the primary, and who is kept out: a pure value.
///
/// It takes what was seen (``Event``) and answers what to do (``Action``); it does no I/O, knows no clock and
/// holds no lock. Its states are ``HostState`` and ``HostRole`` for each host. Each event is first taken down as evidence,
/// then all hosts are judged anew: identity, dispute, election, drain, hold-down, fence, in this order.
///
/// Invariants, checked by the model-based tests after every event:
/// 1. At most one host serves ``ServiceClass/primary``.
/// 2. No host below the highest timeline seen for the cluster's system identifier serves it, unless that timeline was
///    decided against.
/// 3. A quarantined, down, starting, frozen, misconfigured or unknown host serves nothing; nor does a drained or removed one.
/// 4. A host of another system serves nothing.
/// 5. Suspicion alone changes no state and no service.
/// 6. Whoever claimed to be the primary and is replaced, or is on a lower timeline, is fenced, whatever else is known of it.
/// 7. The first primary is elected when every host was heard of, or the grace for that is over and no replica says that a
///    host is missing.
/// 8. No host serves on an answer that is older than ``Settings/evidenceLife``, times not counted in which this process
///    could not run. A host that goes on answering users is not forgotten for ``mostRenewals`` times as long, at most:
///    their sessions are with the run that the checks know, as far as anybody can tell.
/// 9. If any host could serve reads, one does: hold-down does not leave them without a host.
/// 10. While it is disputed who the primary is, nobody is.
struct TopologyMachine: Sendable {
    /// What was seen.
    enum Event: Sendable, Hashable {
        /// The host answered what it was asked at this time.
        case reported(host: Int, HostReport, asked: ContinuousClock.Instant)
        /// A connection for users answered what it was asked at this time, and may have reached another server than the checks do.
        case admitted(host: Int, HostReport, asked: ContinuousClock.Instant, as: Reach)
        /// A check failed; `fresh` tells that it ran on a connection opened for it, and `heard` that users were answered
        /// meanwhile.
        case failed(host: Int, HostFailure, fresh: Bool, heard: Bool = false)
        /// A connection noticed something that calls for a check.
        case suspected(host: Int, PassiveEvidence)
        /// The time is over that the first election gives to hosts that were not heard of.
        case graceEnded
        /// The time that ``TopologyMachine/wakeAt`` asked for has come; `stall` is the longest stretch of the last
        /// ``Settings/evidenceLife`` in which this process could not run.
        case timePassed(stall: Duration)
        /// A host joined: at the next index, or at that of a removed one.
        case added(host: Int, label: String)
        /// The operator wants no new work on the host.
        case drained(host: Int)
        /// The operator wants the host back in service.
        case undrained(host: Int)
        /// The host left.
        case removed(host: Int)
        /// The operator says that this is the cluster's system identifier.
        case adopted(systemIdentifier: UInt64)
        /// The operator says that this host is the primary.
        case preferred(host: Int)
        /// The witness named this host as the primary, or did not answer the question.
        case testified(question: Int, host: String?)
    }

    /// What to do about it, in this order.
    enum Action: Sendable, Hashable {
        /// The host serves these classes from now on.
        case serve(host: Int, ServiceClass)
        /// Nothing may be sent to the host any more, not even on leased connections.
        case fence(host: Int)
        /// The server run that the host's connections belong to is over, or they are not wanted: close them.
        case expire(host: Int)
        /// Check the host now.
        case check(host: Int)
        /// The next check is to open a session of its own.
        case renew(host: Int)
        /// A session of its own is to show now and then whether the host's address still leads where the one that is open does.
        case compare(host: Int)
        /// Hosts that were not heard of hold the first election up: for so long only.
        case beginGrace
        /// The primary is missing or in doubt: check all hosts quickly. Or it is not any more.
        case hunt(Bool)
        /// Ask the witness who the primary is, and tell by ``Event/testified(question:host:)`` in any case.
        case askWitness(question: Int)
        /// Tell the subscribers.
        case emit(ClusterEvent)
    }

    struct Settings: Sendable {
        var fencing = FencingRule.follow
        /// How long an answer speaks for its host.
        var evidenceLife = Duration.seconds(5)
        var guards = Guards.all
    }

    /// A process that has just started knows nothing: the first server to claim that it is the primary may be a stale one,
    /// or a stranger. Once there was a primary, a better one is told by its timeline.
    enum Election { case untried, inGrace, open }

    let settings: Settings
    /// Removed hosts keep their places.
    var hosts: [HostRecord]
    /// The host that serves writes.
    var primary: Int?
    /// Who won the last election and has not been gone since: it may be drained, or silent for too long.
    var incumbent: Int?
    var isHunting = true
    var election = Election.untried
    /// Whether somebody was the primary before, or was said to be by whoever decides that.
    var hadPrimary = false
    /// The first primary waits for somebody who was not heard, until then.
    var awaitsRival = false
    var rivalsAwaitedUntil: ContinuousClock.Instant?
    /// The time for that was given again, because this process could not run.
    var awaitsRivalAgain = false
    /// It is over.
    var isWaitedOut = false
    /// The cluster's identity: plurality of the hosts until more than half of them agree, then fixed.
    var systemIdentifier: UInt64?
    var identityIsFixed = false
    /// The highest timeline seen, per system: lowered only by decisions from outside.
    var highestTimelines: [UInt64?: UInt32] = [:]
    var primaryMissingSince: ContinuousClock.Instant?
    var dispute = Dispute()
    /// What decisions from outside went against, as far as that is about timelines, per system.
    var rejections: [UInt64?: Rejection] = [:]

    /// - Parameter labels: The hosts as "host:port", in the order of preference between equals.
    init(labels: [String], settings: Settings = Settings()) {
        self.hosts = labels.map(HostRecord.init(label:))
        self.settings = settings
    }

    /// The highest timeline known to exist in this cluster.
    var highestTimeline: UInt32? { highestTimelines[systemIdentifier] }

    /// How firmly a stale primary can be kept out, given what the primary tells.
    var fenceLevel: FenceLevel { primary.flatMap { hosts[$0].report?.fenceLevel } ?? .none }

    /// The hosts that belong to the cluster.
    var members: [Int] { hosts.indices.filter { !hosts[$0].isRemoved || isOff(.removed) } }

    /// When ``Event/timePassed(stall:)`` is due, if nothing else happens.
    var wakeAt: ContinuousClock.Instant? {
        var times = [dispute.askAgainAt, awaitsRival ? rivalsAwaitedUntil : nil]
        // A record is large: it is looked at where it is.
        for index in hosts.indices where !hosts[index].isRemoved {
            if hosts[index].isAnswering, !isOff(.age) {
                times.append(hosts[index].vouchedAt.map { $0 + settings.evidenceLife })
            }
            if hosts[index].isHeldDown, !isOff(.endOfHold) { times.append(hosts[index].holdDown.end) }
        }
        return times.lazy.compactMap { $0 }.min()
    }

    mutating func handle(_ event: Event, now: ContinuousClock.Instant) -> [Action] {
        var actions: [Action] = []
        if let host = event.host, !hosts.indices.contains(host) || hosts[host].isRemoved { return [] }
        switch event {
        case .reported(let host, let report, let asked):
            if takeRoutinely(report, of: host, asked: asked, now: now) { return [] }
            take(report, of: host, asked: asked, now: now, into: &actions)
        case .admitted(let host, let report, let asked, let reach):
            if takeRoutinely(report, of: host, asked: asked, now: now) { return [] }
            admit(report, to: host, asked: asked, as: reach, now: now, into: &actions)
        case .graceEnded:
            openElection(now: now)
        case .failed(let host, let failure, let fresh, let heard):
            take(failure, of: host, fresh: fresh, heard: heard, now: now, into: &actions)
        case .suspected(let host, let evidence):
            suspect(host, evidence, now: now, into: &actions)
        case .timePassed(let stall):
            if awaitsRival, let end = rivalsAwaitedUntil, end <= now {
                if !awaitsRivalAgain, stall > Self.toleratedStall {
                    // Once: a process that is held up again and again is not to wait for ever.
                    awaitsRivalAgain = true
                    rivalsAwaitedUntil = now + min(stall, Self.patience)
                } else {
                    isWaitedOut = true
                }
            }
            age(stall: stall, now: now, into: &actions)
        case .added(let host, let label):
            add(host, label: label, now: now, into: &actions)
        case .drained(let host):
            drain(host, now: now, into: &actions)
        case .undrained(let host):
            undrain(host, now: now, into: &actions)
        case .removed(let host):
            remove(host, now: now, into: &actions)
        case .adopted(let systemIdentifier):
            adopt(systemIdentifier, now: now, into: &actions)
        case .preferred(let host):
            decide(for: host, now: now)
        case .testified(let question, let host):
            hear(question, named: host, now: now)
        }
        settle(now: now, into: &actions)
        return actions
    }

    /// Left out, by a test.
    func isOff(_ rule: Guards) -> Bool { !settings.guards.contains(rule) }
}

extension TopologyMachine.Event {
    /// The host that has to be there for it to mean anything.
    var host: Int? {
        switch self {
        case .reported(let host, _, _), .admitted(let host, _, _, _), .failed(let host, _, _, _),
            .suspected(let host, _),
            .drained(let host), .undrained(let host), .removed(let host), .preferred(let host):
            host
        case .graceEnded, .timePassed, .added, .adopted, .testified: nil
        }
    }

    /// What a host answered, to whomever.
    var answer: (host: Int, report: HostReport, asked: ContinuousClock.Instant)? {
        switch self {
        case .reported(let host, let report, let asked), .admitted(let host, let report, let asked, _):
            (host, report, asked)
        default: nil
        }
    }
}
