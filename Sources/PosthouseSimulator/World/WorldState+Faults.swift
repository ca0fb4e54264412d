// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

// What happens to the servers.

extension WorldState {
    mutating func apply(_ fault: Fault, _ world: SimulatedWorld) {
        let targets = fault.targets.map(index)
        guard targets.allSatisfy(ours.contains) else { return }
        note(0x700, "fault: \(fault)")
        touched = now
        doubt(fault, targets)
        if let host = targets.first {
            apply(fault, to: host, targets.last ?? host, world)
        } else {
            switch fault {
            case .promote: promote(world)
            case .lose(let percent): loss = percent
            case .exhaust(let exhausts): isExhausted = exhausts
            case .pause(let milliseconds):
                time.pause(for: Int64(milliseconds) * 1_000_000)
                touched = now
            case .restore: restore()
            case .heal: heal(world)
            default: return
            }
        }
        shipEverywhere(world)
    }

    func index(of target: Target) -> Int {
        switch target {
        case .host(let index): index
        case .primary: primary
        case .former: former
        }
    }

    private mutating func apply(_ fault: Fault, to host: Int, _ other: Int, _ world: SimulatedWorld) {
        switch fault {
        case .crash: end(host, .stopped, world)
        case .stop:
            announceEnd(of: host)
            end(host, .stopped, world)
        case .vanish: end(host, .gone, world)
        case .freeze: if hosts[host].runs { hosts[host].condition = .frozen }
        case .thaw: thaw(host, world)
        case .start(_, let milliseconds):
            if [.stopped, .gone].contains(hosts[host].condition) { start(host, milliseconds, world) }
        case .rejoin(_, let milliseconds): rejoin(host, milliseconds, world)
        case .cut: isCut[host] = true
        case .mend: mend(host, world)
        case .part: if host != other { parted.insert(pair(host, other)) }
        case .join: parted.remove(pair(host, other))
        case .slow(_, let milliseconds): hosts[host].slowness = Int64(milliseconds) * 1_000_000
        case .busy(_, let isBusy): hosts[host].isBusy = isBusy
        case .lag(_, let milliseconds): hosts[host].lag = Int64(milliseconds) * 1_000_000
        case .terminate:
            announceEnd(of: host)
            if hosts[host].runs { reset(host, world) }
        case .copy: copy(host, world)
        case .swap: swap(host, other)
        case .usurp: usurp(host)
        case .alias: if let address = address(of: other) { routes[address] = host }
        case .dawdle(_, let milliseconds): hosts[host].dawdling = Int64(milliseconds) * 1_000_000
        // The cluster is told, not the servers.
        case .drain, .undrain, .remove, .add, .adopt: return
        case .promote, .lose, .pause, .exhaust, .restore, .heal: return
        }
    }

    /// From now on the process may have reason to think that the primary is gone.
    private mutating func doubt(_ fault: Fault, _ targets: [Int]) {
        switch fault {
        case .promote, .lose, .pause, .exhaust, .swap, .alias, .usurp, .restore: isPrimaryUndoubted = false
        // A primary without work is the primary.
        case .drain, .undrain: return
        default: if targets.contains(primary) { isPrimaryUndoubted = false }
        }
    }

    // MARK: - Addresses

    private mutating func swap(_ one: Int, _ other: Int) {
        guard let first = address(of: one), let second = address(of: other) else { return }
        routes.swapAt(first, second)
    }

    private mutating func usurp(_ host: Int) {
        guard usurped == nil, let address = address(of: host) else { return }
        usurped = host
        routes[address] = stranger
    }

    private mutating func restore() {
        guard let host = usurped, let address = address(of: stranger) else { return }
        usurped = nil
        routes[address] = host
    }

    /// A backup of the primary is started in the host's place, and takes itself for the primary.
    private mutating func copy(_ host: Int, _ world: SimulatedWorld) {
        guard host != primary else { return }
        isPrimaryUndoubted =
            plainPrimary != nil && perception.writers == plainPrimary.flatMap(address).map { [$0] }
            && now - reroutedAt > Self.rerouting
        announceEnd(of: host)
        end(host, .stopped, world)
        hosts[host].isInRecovery = false
        hosts[host].isCopy = true
        hosts[host].upstream = nil
        (hosts[host].timeline, hosts[host].position) = (hosts[primary].timeline, hosts[primary].position)
        start(host, 50, world)
    }

    // MARK: - Ends

    /// The server's process ends. If its machine lives, it resets what was open.
    private mutating func end(_ host: Int, _ condition: SimulatedHost.Condition, _ world: SimulatedWorld) {
        guard hosts[host].condition != .stopped, hosts[host].condition != .gone else { return }
        hosts[host].condition = condition
        hosts[host].startNumber &+= 1
        hosts[host].committing = []
        hosts[host].shipment = nil
        for index in exchanges.indices where exchanges[index].host == host {
            switch exchanges[index].phase {
            case .queued, .committing:
                if exchanges[index].isOrphan {
                    free(index)
                } else if condition == .gone {
                    exchanges[index].phase = .stuckOutbound
                } else {
                    answer(index, .failure(exchanges[index].session == nil ? .refused : .lost), world)
                }
            case .free, .outbound, .stuckOutbound, .inbound, .stuckInbound: break
            }
        }
        if condition == .stopped { reset(host, world) }
    }

    private mutating func reset(_ host: Int, _ world: SimulatedWorld) {
        if isCut[host] { return }
        for index in sessions.indices where sessions[index].connection != nil && sessions[index].host == host {
            let delay = delay()
            time.add(world, token: Self.token(.reset, index, sessions[index].use), at: now + delay)
        }
    }

    /// The reset arrives.
    mutating func resetDue(_ index: Int, _ use: UInt32) {
        guard sessions[index].use == use, let connection = sessions[index].connection, !isCut[sessions[index].host]
        else {
            return
        }
        connection.breakDown()
        if let exchange = sessions[index].exchange {
            finish(exchange, .failure(.lost))
        } else {
            notices.append(.idleInput(connection))
        }
    }

    private mutating func announceEnd(of host: Int) {
        guard hosts[host].runs, !isCut[host] else { return }
        for session in sessions where session.host == host && session.incarnation == hosts[host].incarnation {
            if let connection = session.connection { notices.append(.evidence(connection, .shutdownAnnounced)) }
        }
    }

    // MARK: - Beginnings

    private mutating func start(_ host: Int, _ milliseconds: Int, _ world: SimulatedWorld) {
        hosts[host].condition = .starting
        hosts[host].incarnation += 1
        hosts[host].startNumber &+= 1
        hosts[host].shipment = nil
        if hosts[host].isInRecovery { hosts[host].upstream = primary == host ? nil : primary }
        let at = now + Int64(milliseconds) * 1_000_000
        time.add(world, token: Self.token(.other, 1000 + host, hosts[host].startNumber), at: at)
        goOn(host, world) { if case .stuckOutbound = $0 { true } else { false } }
    }

    mutating func startDue(_ host: Int, _ number: UInt32, _ world: SimulatedWorld) {
        guard hosts[host].startNumber == number, hosts[host].condition == .starting else { return }
        hosts[host].condition = .running
        touched = now
        note(0x800 + UInt64(host), "\(host) runs")
        shipEverywhere(world)
    }

    private mutating func thaw(_ host: Int, _ world: SimulatedWorld) {
        guard hosts[host].condition == .frozen else { return }
        hosts[host].condition = .running
        goOn(host, world) { if case .queued = $0 { true } else { false } }
    }

    private mutating func mend(_ host: Int, _ world: SimulatedWorld) {
        guard isCut[host] else { return }
        isCut[host] = false
        goOn(host, world) { phase in
            switch phase {
            case .stuckOutbound, .stuckInbound: true
            case .free, .outbound, .queued, .committing, .inbound: false
            }
        }
    }

    /// What stood still is sent again; TCP does that within its own time.
    private mutating func goOn(_ host: Int, _ world: SimulatedWorld, _ isConcerned: (Exchange.Phase) -> Bool) {
        for index in exchanges.indices where exchanges[index].host == host && isConcerned(exchanges[index].phase) {
            switch exchanges[index].phase {
            case .stuckInbound(let answer): exchanges[index].phase = .inbound(answer)
            default: exchanges[index].phase = .outbound
            }
            exchanges[index].step &+= 1
            let token = Self.token(.step, index, exchanges[index].step)
            time.add(world, token: token, at: now + draw(100_000...200_000_000))
        }
    }

    // MARK: - The operator

    /// Whether the host could be promoted and nothing that was acknowledged would be lost.
    private func isCandidate(_ index: Int) -> Bool {
        let host = hosts[index]
        return host.isInRecovery && host.runs && host.timeline == history.highest
            && (!isSynchronous || host.position >= acknowledged)
    }

    private mutating func promote(_ world: SimulatedWorld) {
        let candidates = ours.filter(isCandidate)
        guard let most = candidates.map({ hosts[$0].position }).max() else { return }
        let best = candidates.filter { hosts[$0].position == most }
        let chosen = best[Int(draw(0...Int64(best.count - 1)))]
        let timeline = history.fork(off: hosts[chosen].timeline, at: hosts[chosen].position)
        hosts[chosen].formerTimeline = hosts[chosen].timeline
        hosts[chosen].tellsFormerUntil = now + hosts[chosen].dawdling
        hosts[chosen].timeline = timeline
        hosts[chosen].isInRecovery = false
        hosts[chosen].upstream = nil
        hosts[chosen].shipment = nil
        acknowledged = hosts[chosen].position
        (former, primary) = (primary, chosen)
        tally.failovers += 1
        for index in ours where hosts[index].isInRecovery { hosts[index].upstream = chosen }
        note(0x900 + UInt64(chosen), "\(chosen) is promoted to timeline \(timeline)")
    }

    /// The cluster was told that this host is the primary: what was begun on higher timelines was a mistake.
    mutating func decide(for host: Int) {
        let timeline = hosts[host].timeline
        guard timeline < history.highest else { return }
        let rejected = timeline + 1...history.highest
        if host != primary { (former, primary) = (primary, host) }
        evidence.reject(rejected)
        tally.reject(rejected)
        if let complaint = perception.decided(against: rejected) { tally.violate(complaint, at: now) }
    }

    private mutating func rejoin(_ host: Int, _ milliseconds: Int, _ world: SimulatedWorld) {
        guard host != primary else { return }
        announceEnd(of: host)
        end(host, .stopped, world)
        let common = history.common(hosts[host].timeline, hosts[host].position, with: hosts[primary].timeline)
        (hosts[host].timeline, hosts[host].position) = common
        hosts[host].tellsFormerUntil = .min
        hosts[host].isInRecovery = true
        hosts[host].isCopy = false
        start(host, milliseconds, world)
    }

    private mutating func heal(_ world: SimulatedWorld) {
        loss = 0
        isExhausted = false
        parted = []
        usurped = nil
        routes = Array(ours)
        // Sessions that lead to elsewhere end with whatever led them there.
        for index in sessions.indices
        where sessions[index].connection != nil && sessions[index].host != sessions[index].address {
            time.add(world, token: Self.token(.reset, index, sessions[index].use), at: now)
        }
        for host in ours {
            mend(host, world)
            thaw(host, world)
            hosts[host].slowness = 0
            hosts[host].lag = 0
            hosts[host].isBusy = false
            hosts[host].dawdling = 0
            hosts[host].tellsFormerUntil = .min
        }
        if [.stopped, .gone].contains(hosts[primary].condition) { start(primary, 100, world) }
        for host in ours where host != primary {
            let state = hosts[host]
            let common = history.common(state.timeline, state.position, with: hosts[primary].timeline)
            let fits = state.isInRecovery && common == (state.timeline, state.position)
            if !fits || [.stopped, .gone].contains(state.condition) { rejoin(host, 100, world) }
            hosts[host].upstream = primary
        }
    }
}
