// SPDX-License-Identifier: Apache-2.0

import PosthousePool

extension Scenario {
    /// A scenario with so many failovers, and much else that goes wrong around them.
    public static func drawn(seed: UInt64, failovers: Int) -> Scenario {
        var drawing = Drawing(SplitMix64(seed: seed))
        for _ in 0..<failovers { drawing.failover() }
        return Scenario(seed: seed, faults: drawing.faults.sorted { $0.milliseconds < $1.milliseconds })
    }

    /// Many clients wait while the primary is gone, twice.
    package static func herd(seed: UInt64, clients: Int) -> Scenario {
        let faults = [
            ScheduledFault(at: 1500, .crash(host: .primary)),
            ScheduledFault(at: 2500, .promote),
            ScheduledFault(at: 4000, .crash(host: .primary)),
            ScheduledFault(at: 4500, .start(host: .primary, milliseconds: 200)),
            ScheduledFault(at: 5000, .heal),
        ]
        return Scenario(seed: seed, clients: clients, faults: faults)
    }

    /// Writes down what goes wrong.
    private struct Drawing {
        private var draws: SplitMix64
        private(set) var faults: [ScheduledFault] = []
        private var now = 300

        init(_ draws: SplitMix64) {
            self.draws = draws
        }

        private mutating func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &draws) }
        private mutating func happens(_ percent: Int) -> Bool { draw(0...99) < percent }

        private mutating func add(_ fault: Fault, after milliseconds: Int = 0) {
            faults.append(ScheduledFault(at: now + milliseconds, fault))
        }

        /// Something else, which ends before long.
        private mutating func disturb() {
            let number = draw(0...2)
            let (host, other) = (Target.host(number), Target.host((number + 1) % 3))
            let length = draw(20...800)
            switch draw(0...14) {
            case 0:
                add(.slow(host: host, milliseconds: draw(5...400)))
                add(.slow(host: host, milliseconds: 0), after: length)
            case 1:
                add(.cut(host: host))
                add(.mend(host: host), after: length)
            case 2:
                add(.busy(host: host, true))
                add(.busy(host: host, false), after: length)
            case 3:
                add(.lag(host: host, milliseconds: draw(5...500)))
                add(.lag(host: host, milliseconds: 0), after: length)
            case 4:
                add(.lose(percent: draw(1...30)))
                add(.lose(percent: 0), after: length)
            case 5: add(.pause(milliseconds: draw(5...1500)))
            case 6:
                add(.part(host, other))
                add(.join(host, other), after: length)
            case 7:
                add(.crash(host: host))
                add(.start(host: host, milliseconds: draw(10...300)), after: length)
            case 8:
                add(.freeze(host: host))
                add(.thaw(host: host), after: length)
            case 9:
                // Sessions end, and there can be no others for a while.
                add(.exhaust(true))
                add(.terminate(host: host), after: 5)
                add(.exhaust(false), after: length)
            default: confuse(host, other, length)
            }
        }

        /// Nothing is out, and something is not what it was.
        private mutating func confuse(_ host: Target, _ other: Target, _ length: Int) {
            switch draw(0...5) {
            case 0:
                add(.terminate(host: host))
                // The new sessions fail at first.
                if happens(50) {
                    add(.cut(host: host), after: 3)
                    add(.mend(host: host), after: length + 700)
                }
            case 1:
                add(.copy(host: host))
                if happens(30) {
                    // It takes the primary's place, for nobody knows better.
                    let start = draw(100...400)
                    add(happens(50) ? .cut(host: .primary) : .freeze(host: .primary), after: start)
                    now += start + draw(3000...5000)
                    add(.mend(host: .primary))
                    add(.thaw(host: .primary))
                }
                if happens(50) { add(.rejoin(host: host, milliseconds: draw(10...200)), after: length * 2) }
            case 2:
                add(.swap(host, other))
                if happens(50) {
                    add(.terminate(host: host))
                    add(.terminate(host: other))
                }
                if happens(50) { add(.swap(host, other), after: length) }
            case 3:
                add(.usurp(host: host))
                if happens(50) { add(.terminate(host: host)) }
                add(.restore, after: length)
            case 4:
                add(.drain(host: host))
                add(.undrain(host: host), after: length)
            default:
                if happens(50) { add(.drain(host: host)) }
                add(.remove(host: host), after: draw(0...200))
                add(.add(host: host), after: 200 + length)
            }
        }

        mutating func failover() {
            if happens(30) { disturb() }
            now += draw(10...300)
            let absence = draw(50...900)
            switch draw(0...9) {
            case 0, 1: add(.crash(host: .primary))
            case 2: add(.stop(host: .primary))
            case 3: add(.vanish(host: .primary))
            case 4, 5: add(.freeze(host: .primary))
            case 6: add(.cut(host: .primary))
            // The old primary lives on, and goes on taking writes.
            default: break
            }
            let promotion = draw(0...300)
            add(.promote, after: promotion)
            if happens(10) { add(.promote, after: promotion + draw(100...500)) }
            // The address goes with the role.
            if happens(15) { add(.swap(.primary, .former), after: promotion + draw(0...200)) }
            now += promotion + absence
            // The old primary comes back as it was, and is rewound later.
            add(.thaw(host: .former))
            add(.mend(host: .former))
            add(.start(host: .former, milliseconds: draw(10...200)))
            now += draw(20...400)
            if happens(20) { disturb() }
            if happens(70) { add(.rejoin(host: .former, milliseconds: draw(10...200))) }
            now += draw(50...300)
            if happens(70) { add(.heal) }
            now += draw(50...600)
            if happens(5) { now += 4000 }
        }
    }
}
