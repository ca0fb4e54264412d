// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// What is known of one host: the evidence, and the verdict drawn from it.
struct HostRecord: Sendable {
    /// What a server says of its place in history: another run, or another timeline, is another claim.
    struct Claim: Sendable, Hashable {
        var incarnation: Int64?
        var timeline: UInt32?
        var isInRecovery: Bool

        init(_ report: HostReport) {
            incarnation = report.incarnation
            timeline = report.timeline
            isInRecovery = report.isInRecovery
        }
    }

    /// "host:port".
    let label: String

    // What the operator said.

    /// It is to serve nothing, and is watched all the same.
    var isDrained = false
    /// It left the cluster; only its index is kept, so that the others keep theirs.
    var isRemoved = false
    /// Some of its connections lead to another server than its checks do: several replicas share the address.
    var isShared = false
    /// A claim that a witness or the operator decided against.
    var disowned: Claim?
    /// It was asked since the last decision, and was not on a timeline that was decided against.
    var sidesWithDecision = false

    // The evidence.

    /// The last answer, kept over outages so that a new run of the server is told from the old one.
    var report: HostReport?
    var reportedAt: ContinuousClock.Instant?
    /// When the latest question was put that was answered.
    var askedAt: ContinuousClock.Instant?
    /// Whom its run said last that it follows, and when it last said something else on this timeline.
    var toldUpstream: String?
    var toldOtherwiseAt: ContinuousClock.Instant?
    /// From when on the evidence ages: when the last answer was asked for, or users were known to be answered.
    var vouchedAt: ContinuousClock.Instant?
    /// The last failed check since the last answer.
    var failure: HostFailure?
    /// Consecutive checks without an answer. Users' answers count while a check opens a session of its own, or could not begin.
    var misses = 0
    /// Proven to be unusable in this way; `nil` while nothing is proven against it.
    var outage: HostState?
    /// Whether ``report`` still speaks for the host.
    var isAnswering = false
    /// When it failed last.
    var failedAt: ContinuousClock.Instant?
    /// Whether a check was asked for and has not ended.
    var isSuspected = false

    /// Whether anything is known of it, good or bad.
    var isHeard: Bool { report != nil || failure != nil }

    var repeatsDisownedClaim: Bool { disowned != nil && report.map(Claim.init) == disowned }

    /// Whether it is well, and nothing is open about it.
    var isSettled: Bool {
        state == .up && isAnswering && !isRemoved && !isAlias && !isSuspected && disowned == nil && failure == nil
            && misses == 0 && outage == nil
    }

    // The verdict.

    var state = HostState.unknown
    var role = HostRole.unknown
    var reason: String?
    var serves: ServiceClass = []
    /// The permits of its leases are void, and it has served nothing since.
    var isFenced = false
    /// The primary under another name: it is served under that.
    var isAlias = false
    /// It could serve reads, but went out too often.
    var isHeldDown = false

    // The past.

    var holdDown = HoldDown()
    var slowStart = SlowStart()

    init(label: String) {
        self.label = label
    }
}
