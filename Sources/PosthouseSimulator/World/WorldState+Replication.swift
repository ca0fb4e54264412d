// SPDX-License-Identifier: Apache-2.0

// How what is written gets to the replicas, and what waits for that.

extension WorldState {
    /// Sends to the followers of `host` what they have not.
    mutating func ship(from host: Int, _ world: SimulatedWorld) {
        for follower in ours where hosts[follower].upstream == host { ship(to: follower, world) }
    }

    mutating func shipEverywhere(_ world: SimulatedWorld) {
        for follower in ours { ship(to: follower, world) }
    }

    private mutating func ship(to follower: Int, _ world: SimulatedWorld) {
        guard hosts[follower].shipment == nil, let upstream = source(of: follower),
            hosts[follower].position < hosts[upstream].position
                || hosts[follower].timeline != hosts[upstream].timeline
        else { return }
        let position = hosts[upstream].position
        hosts[follower].shipment = position
        let delay = draw(100_000...1_000_000) + hosts[follower].lag
        time.add(world, token: Self.token(.other, 1 + follower, 0), at: now + delay)
    }

    /// Whom the host can follow at this moment.
    func source(of follower: Int) -> Int? {
        let host = hosts[follower]
        guard host.isInRecovery, host.runs, let upstream = host.upstream, hosts[upstream].runs,
            !hosts[upstream].isInRecovery, !hosts[upstream].isCopy, !parted.contains(pair(follower, upstream))
        else { return nil }
        // What it has must be part of the other's history, or it has to be rewound.
        let common = history.common(host.timeline, host.position, with: hosts[upstream].timeline)
        return common == (host.timeline, host.position) ? upstream : nil
    }

    mutating func shipmentDue(_ follower: Int, _ world: SimulatedWorld) {
        guard let position = hosts[follower].shipment else { return }
        hosts[follower].shipment = nil
        guard let upstream = source(of: follower) else { return }
        let timeline = hosts[upstream].timeline
        hosts[follower].timeline = timeline
        let arrived = min(position, hosts[upstream].position)
        let reached = max(hosts[follower].position, arrived)
        hosts[follower].position = reached
        note(0x600 + UInt64(follower), "\(follower) has \(reached) of timeline \(timeline)")
        acknowledge(at: upstream, upTo: reached, world)
        ship(to: follower, world)
    }

    private mutating func acknowledge(at host: Int, upTo position: UInt64, _ world: SimulatedWorld) {
        if hosts[host].timeline == history.highest { acknowledged = max(acknowledged, position) }
        while let first = hosts[host].committing.first, first.position <= position {
            hosts[host].committing.removeFirst()
            answer(first.exchange, .inserted, world)
        }
    }
}
