// SPDX-License-Identifier: Apache-2.0

/// The last stretches during which a loop ran late. A small ring; lives under a lock.
struct StallHistory {
    private struct Stretch {
        var start: Ticks
        var end: Ticks
    }

    /// A loop that wakes this much after the time it asked for was stopped or starved.
    static let toleratedOversleep = LoopClock.length(.milliseconds(20))

    /// A loop whose turn takes longer was stopped, starved, or blocked by a job.
    static let toleratedTurn = LoopClock.length(.milliseconds(50))

    private static let capacity = 32
    private var stretches: [Stretch] = []
    private var oldest = 0

    mutating func record(from start: Ticks, to end: Ticks) {
        let stretch = Stretch(start: start, end: end)
        if stretches.count < Self.capacity {
            stretches.append(stretch)
        } else {
            stretches[oldest] = stretch
            oldest = (oldest + 1) % Self.capacity
        }
    }

    /// The longest part of a recorded stretch that lies after `since`.
    func longest(since: Ticks) -> Ticks {
        stretches.reduce(0) { max($0, $1.end - max($1.start, since)) }
    }
}

/// What a loop's thread is doing, in one atomic word.
enum LoopPhase {
    /// In a turn that began then.
    case turn(began: Ticks)
    /// Asleep until then, or until an event; `.max`: until an event only.
    case asleep(until: Ticks)

    /// Times of a turn are positive; times of a sleep are stored with all bits inverted, thus negative.
    init(bits: Int64) {
        self = bits >= 0 ? .turn(began: bits) : .asleep(until: ~bits)
    }

    var bits: Int64 {
        switch self {
        case .turn(let began): max(0, began)
        case .asleep(let until): ~max(0, until)
        }
    }

    /// How long the loop is late by now, beyond what is tolerated, within the time after `since`.
    func stall(since: Ticks, now: Ticks) -> Ticks {
        switch self {
        case .turn(let began) where now - began > StallHistory.toleratedTurn: max(0, now - max(began, since))
        case .asleep(let until) where until < now && now - until > StallHistory.toleratedOversleep:
            max(0, now - max(until, since))
        case .turn, .asleep: 0
        }
    }
}
