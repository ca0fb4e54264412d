// SPDX-License-Identifier: Apache-2.0

/// Keeps a host that flaps from reads: whoever goes out again and again must answer for a while before it serves them.
///
/// Each proven outage of a host that answered counts one, at most 8; one is forgotten for every 30 s without another. After
/// the first and the second the host serves as soon as it answers. From the third on it must answer for 1 s, then for 2, 4,
/// 8, 16 and at most 30 s, without a new outage meanwhile. It is a pure value.
///
/// Only reads are held back: there is no choice of primaries. Nor are they if no other host serves them; then the hold is
/// lifted until the host goes out again.
struct HoldDown: Sendable {
    static let tolerated = 2
    static let most = 8
    static let memory = Duration.seconds(30)
    static let shortest = Duration.seconds(1)
    static let longest = Duration.seconds(30)

    private(set) var outages = 0
    private var countedAt: ContinuousClock.Instant?
    /// It may serve reads at this time, if it answers until then.
    private(set) var end: ContinuousClock.Instant?

    mutating func wentOut(at now: ContinuousClock.Instant) {
        forget(until: now)
        outages = min(outages + 1, Self.most)
        countedAt = now
        end = nil
    }

    mutating func cameBack(at now: ContinuousClock.Instant) {
        forget(until: now)
        guard outages > Self.tolerated else { return }
        end = now + min(Self.shortest * (1 << (outages - Self.tolerated - 1)), Self.longest)
    }

    mutating func lift() {
        end = nil
    }

    func holds(at now: ContinuousClock.Instant) -> Bool {
        end.map { now < $0 } ?? false
    }

    private mutating func forget(until now: ContinuousClock.Instant) {
        guard let countedAt, countedAt < now else { return }
        let periods = Int(countedAt.duration(to: now) / Self.memory)
        outages = max(outages - periods, 0)
        self.countedAt = countedAt + Self.memory * periods
    }
}
