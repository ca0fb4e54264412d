// SPDX-License-Identifier: Apache-2.0

/// Whether it is disputed who the primary is, and what the witness is asked about it.
struct Dispute: Sendable {
    enum Question: Sendable, Hashable {
        case none
        /// The witness has been asked, and its answer, or its silence, will be told.
        case asked(Int)
        /// It had no answer that helps: another try at this time.
        case again(ContinuousClock.Instant)
    }

    /// How long to wait before a witness is asked again.
    static let pause = Duration.seconds(1)

    /// The primary still answers, and a higher timeline is known.
    var isOpen = false
    /// Several hosts claim to be the primary, and nothing tells them apart.
    var isAmbiguous = false
    var question = Question.none
    var questions = 0

    var askAgainAt: ContinuousClock.Instant? {
        if case .again(let time) = question { time } else { nil }
    }
}

/// Timelines that somebody outside decided against: those above the chosen primary's, up to the highest that was known.
///
/// Whatever is on one of them is kept out, whoever it is and whenever it came there: only a higher timeline is newer than the
/// decision. One thing else is: a replica of the chosen side that is seen to be promoted. It begins a timeline of its own, and
/// without a common archive that gets a number which was decided against.
struct Rejection: Sendable {
    var timelines: ClosedRange<UInt32>
    var decidedAt: ContinuousClock.Instant
}

extension TopologyMachine {
    /// A dispute begins when a higher timeline appears although the incumbent answers, and ends when it does so no more, or
    /// when somebody decides.
    mutating func settleDispute() {
        if let host = incumbent, hasGone(host) { incumbent = nil }
        guard settings.fencing != .follow, !isOff(.disputes) else { return }
        guard let incumbent, claimsToBePrimary(incumbent), let report = hosts[incumbent].report else {
            dispute.isOpen = false
            return
        }
        dispute.isOpen = isStale(report)
    }

    /// Out by proof, or demoted. A host whose answers are too old is neither.
    private func hasGone(_ host: Int) -> Bool {
        let record = hosts[host]
        if let outage = record.outage, outage != .busy { return true }
        return record.isRemoved || isDisowned(host) || record.isAnswering && record.report?.isInRecovery == true
    }

    private func claimsToBePrimary(_ host: Int) -> Bool {
        let record = hosts[host]
        guard !record.isRemoved, record.isAnswering, let report = record.report else { return false }
        return !report.isInRecovery && isOurs(report)
    }

    /// Somebody outside says who the primary is: whoever stands against that is disowned, and its timeline forgotten.
    ///
    /// - Returns: Whether the host claims what it was chosen for.
    @discardableResult
    mutating func decide(for host: Int, now: ContinuousClock.Instant) -> Bool {
        guard claimsToBePrimary(host), let chosen = hosts[host].report else { return false }
        hosts[host].disowned = nil
        for other in hosts.indices where other != host && !hosts[other].isRemoved {
            guard let report = hosts[other].report, isOurs(report), standsAgainst(chosen, report) else { continue }
            hosts[other].disowned = HostRecord.Claim(report)
        }
        if let timeline = chosen.timeline {
            reject(above: timeline, now: now)
            highestTimelines[systemIdentifier] = timeline
        }
        incumbent = host
        hadPrimary = true
        dispute.isOpen = false
        return true
    }

    private mutating func reject(above timeline: UInt32, now: ContinuousClock.Instant) {
        for index in hosts.indices { hosts[index].sidesWithDecision = false }
        let told = members.compactMap { isOurs(hosts[$0].report) ? hosts[$0].report?.timeline : nil }
        let known = told + [highestTimeline, rejections[systemIdentifier]?.timelines.upperBound].compactMap { $0 }
        rejections[systemIdentifier] = known.max().flatMap { highest in
            highest > timeline ? Rejection(timelines: timeline + 1...highest, decidedAt: now) : nil
        }
    }

    /// Whether it tells of a timeline that was decided against.
    func isRejected(_ report: HostReport) -> Bool {
        guard !isOff(.rejections), let timeline = report.timeline, let rejection = rejection(of: report) else {
            return false
        }
        return rejection.timelines.contains(timeline)
    }

    /// What was decided about the system that it tells of.
    func rejection(of report: HostReport) -> Rejection? { rejections[report.systemIdentifier ?? systemIdentifier] }

    /// Whether what the host says of itself was decided against.
    func isDisowned(_ host: Int) -> Bool {
        hosts[host].repeatsDisownedClaim || (hosts[host].report.map(isRejected) ?? false)
    }

    /// The number of its timeline belongs to the chosen side now. Of the other side that claims it, only what was heard before
    /// the decision is known.
    mutating func notePromotion(of host: Int, _ report: HostReport) {
        guard isRejected(report), hosts[host].sidesWithDecision else { return }
        rejections[report.systemIdentifier ?? systemIdentifier] = nil
    }

    private func standsAgainst(_ chosen: HostReport, _ report: HostReport) -> Bool {
        if let run = report.incarnation, run == chosen.incarnation { return false }
        guard let theirs = report.timeline, let timeline = chosen.timeline else { return !report.isInRecovery }
        return theirs > timeline || theirs == timeline && !report.isInRecovery
    }

    /// What the witness said. Whoever has gone silent meanwhile, or never claimed it, is not made the primary by being named.
    mutating func hear(_ question: Int, named label: String?, now: ContinuousClock.Instant) {
        guard dispute.question == .asked(question) else { return }
        dispute.question = .again(now + Dispute.pause)
        guard needsWitness, let label, let host = members.first(where: { answers(to: label, $0) }) else { return }
        if decide(for: host, now: now) { dispute.question = .none }
    }

    private var needsWitness: Bool {
        guard settings.fencing == .witness else { return false }
        if dispute.isOpen || dispute.isAmbiguous { return true }
        // Whom it decided against may be the only one that is left.
        return incumbent == nil && hosts.indices.contains { isDisowned($0) && claimsToBePrimary($0) }
    }

    mutating func askWitnessIfNeeded(now: ContinuousClock.Instant, into actions: inout [Action]) {
        switch dispute.question {
        case .asked: return
        case _ where !needsWitness: dispute.question = .none
        case .again(let time) where now < time: return
        case .again, .none:
            dispute.questions += 1
            dispute.question = .asked(dispute.questions)
            actions.append(.askWitness(question: dispute.questions))
        }
    }
}
