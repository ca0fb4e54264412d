// SPDX-License-Identifier: Apache-2.0

/// When a host is checked next: calm, hunting, or reconnecting. A pure value.
///
/// Calm, an open session is asked every `refreshDelay`. From the moment the primary is lost or doubted, every open
/// session is asked every 5 ms for ten seconds, every 10 ms until the first minute is over, then less and less often, with
/// pauses of eight times the last answer's time, up to 100 ms: an answer costs a server less than 0.1 ms, but one that is
/// busy, or has a thousand such clients, is asked less often. A check that somebody asks for, because a connection noticed
/// something, is made at once.
/// A new session costs it milliseconds, so at most one attempt is under way for a host, 100 ms to 1 s apart with
/// full jitter; only the first attempt after a loss is made at once.
struct CheckSchedule: Sendable {
    /// The least time between two checks that nobody asks for, and between two that somebody asks for.
    static let leastGap = Duration.milliseconds(5)
    /// How many times as long as a check takes a hunt pauses after it, up to ``longestLeisure``.
    static let leisure = 8
    static let longestLeisure = Duration.milliseconds(100)
    /// The least time between two sessions that are opened although one is open.
    static let renewalGap = Duration.milliseconds(250)
    /// When a hunt has been in vain for so long, the primary may be behind an address whose open session leads elsewhere.
    static let vainHunt = Duration.seconds(1)
    /// The least time between two looks for that.
    static let secondLookGap = Duration.seconds(3)

    var refreshDelay: Duration
    var huntingSince: ContinuousClock.Instant?
    private(set) var lastCheck: ContinuousClock.Instant?
    private var requestedAt: ContinuousClock.Instant?
    private var answersRequest = false
    /// How long the last check took.
    private var took = Duration.zero
    private(set) var failedConnects = 0
    private var jitter = 1.0
    private var renewedAt: ContinuousClock.Instant?
    private var lookedAt: ContinuousClock.Instant?

    init(refreshDelay: Duration) {
        self.refreshDelay = refreshDelay
    }

    /// When the next check is due if nobody asks for one.
    func due(hasSession: Bool, now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        guard let lastCheck else { return now }
        if !hasSession { return lastCheck + reconnectGap }
        guard let huntingSince else { return lastCheck + refreshDelay * jitter }
        let gap = Self.huntingGap(after: huntingSince.duration(to: now), calm: refreshDelay)
        return lastCheck + max(gap, min(took * Self.leisure, Self.longestLeisure, refreshDelay))
    }

    /// When a check that somebody asked for may run.
    func dueOnRequest(hasSession: Bool, now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        guard let lastCheck else { return now }
        if !hasSession { return lastCheck + reconnectGap }
        return requestedAt.map { $0 + Self.leastGap } ?? now
    }

    /// The check that begins now is one that somebody asked for.
    mutating func beginsOnRequest() {
        answersRequest = true
    }

    /// How a check ended.
    enum Ending: Sendable {
        case answered
        /// The session that was open is gone: the first attempt to open another is made at once.
        case lostSession
        /// No session could be opened, or the new one gave no answer.
        case failedConnect
        /// No session could be opened in time, though users were answered meanwhile: the attempts go on as they are, because the
        /// next one is to tell soon whether the host still lives.
        case overdue
    }

    /// Whether a session that works may be replaced because it may lead to the wrong server.
    mutating func mayRenew(at now: ContinuousClock.Instant) -> Bool {
        if let renewedAt, renewedAt.duration(to: now) < Self.renewalGap { return false }
        renewedAt = now
        return true
    }

    /// Whether a session that works is to be compared with a new one: the hunt has been in vain for a while, or somebody asks.
    mutating func looksAgain(at now: ContinuousClock.Instant, isAsked: Bool = false) -> Bool {
        let isInVain = huntingSince.map { $0.duration(to: now) >= Self.vainHunt * jitter } ?? false
        guard isInVain || isAsked else { return false }
        if let lookedAt, lookedAt.duration(to: now) < Self.secondLookGap { return false }
        lookedAt = now
        return true
    }

    /// - Parameters:
    ///   - took: From the question to the answer.
    ///   - random: Uniform in 0...1.
    mutating func checked(
        _ ending: Ending,
        at now: ContinuousClock.Instant,
        took: Duration = .zero,
        random: Double
    ) {
        lastCheck = now
        self.took = took
        if answersRequest { requestedAt = now }
        answersRequest = false
        switch ending {
        case .answered:
            failedConnects = 0
            jitter = 0.9 + 0.2 * random
        case .lostSession:
            failedConnects = 0
        case .failedConnect:
            failedConnects += 1
            jitter = random
        case .overdue:
            failedConnects = 1
            jitter = random
        }
    }

    private var reconnectGap: Duration {
        guard failedConnects > 0 else { return Self.leastGap }
        let exponent = min(failedConnects - 1, 6)
        let ceiling = min(200 * (1 << exponent), 1000)
        return .milliseconds(100 + Int(Double(ceiling - 100) * jitter))
    }

    static func huntingGap(after elapsed: Duration, calm: Duration) -> Duration {
        let gap: Duration =
            switch elapsed {
            case ..<Duration.seconds(10): leastGap
            case ..<Duration.seconds(60): .milliseconds(10)
            case ..<Duration.seconds(600): .milliseconds(100)
            default: calm
            }
        return min(gap, calm)
    }
}
