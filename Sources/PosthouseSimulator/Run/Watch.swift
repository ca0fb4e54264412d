// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster
import PosthousePool

/// Looks at each step of the cluster, and every so often at what it says of itself, and compares that with how things are.
final class Watch: Errand {
    private static let interval: Int64 = 100_000_000
    /// A check of the primary that has just begun hangs for a second and fails; the next one comes a second later; and both
    /// are sent again if the first packet was lost.
    private static let bound: Int64 = 3_000_000_000

    private let cluster: Cluster<SimulatedDriver>
    private let world: SimulatedWorld
    private let addresses: [String: Int]
    private let isOver = Guarded(false)

    init(_ cluster: Cluster<SimulatedDriver>, _ world: SimulatedWorld, _ hosts: Int) {
        self.cluster = cluster
        self.world = world
        addresses = Self.addresses(hosts)
    }

    private static func addresses(_ hosts: Int) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: (0..<hosts).map { (SimulatedDriver.Endpoint(host: $0).description, $0) })
    }

    /// Has the configuration's cluster tell the world what it does.
    static func observe(_ configuration: inout ClusterConfiguration, _ hosts: Int, for world: SimulatedWorld) {
        let rules = Perception.Rules(
            evidenceLife: configuration.evidenceLife.nanoseconds,
            checkTimeout: configuration.refreshTimeout.nanoseconds,
            grace: min(configuration.electionGrace, configuration.refreshTimeout).nanoseconds,
            followsTimelines: configuration.fencing.followsTimelines
        )
        world.change { $0.perception.rules = rules }
        let addresses = Self.addresses(hosts)
        configuration.stepObserver = { step in
            switch step {
            case .serves(let name, let services):
                guard let address = addresses[name] else { return }
                world.judge { $0.perception.serves(address, services, at: $0.now) }
            case .event(let event):
                guard let address = addresses[event.host] else { return }
                world.judge { $0.judge(event.kind, of: address) }
            }
        }
    }

    func end() { isOver.withLock { $0 = true } }

    func run(_ token: UInt64) {
        if isOver.withLock({ $0 }) { return }
        world.time.add(self, token: 0, at: world.time.elapsed + Self.interval)
        lookAtPrimary()
        world.judge { $0.complaint() }
        if world.look({ $0.perception.holds }) { lookAtHolds() }
    }

    private func lookAtPrimary() {
        let neglected: Int? = world.look { world in
            guard world.now - world.touched > Self.bound, let address = world.servedPrimary else { return nil }
            return world.perception.writers.contains { world.leads($0, to: world.primary) } ? nil : address
        }
        if let neglected {
            let states = cluster.snapshot().hosts.map { "\($0.host) \($0.role) \($0.state) \($0.reason ?? "")" }
            world.violate("host \(neglected) is the primary, plainly, and not used: \(states.joined(separator: "; "))")
        }
    }

    private func lookAtHolds() {
        let hosts = cluster.snapshot().hosts
        let held = Set(hosts.filter(\.isHeldDown).compactMap { addresses[$0.host] })
        let isRead = hosts.contains { !$0.serves.isDisjoint(with: .reads) }
        world.judge { state in
            state.wasAway ? nil : state.perception.complaint(held: held, isRead: isRead, at: state.now)
        }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { Int64(self / .nanoseconds(1)) }
}

extension SimulatedWorld {
    /// Takes a step of the cluster down, and what is wrong with it.
    fileprivate func judge(_ body: (inout WorldState) -> String?) {
        change { state in
            if let complaint = body(&state) { state.tally.violate(complaint, at: state.now) }
        }
    }
}

extension WorldState {
    /// The primary, if whoever looks can see that it is: it runs, is reached, and has the highest timeline.
    var plainPrimary: Int? {
        let host = hosts[primary]
        let isPlain =
            host.runs && !host.isInRecovery && !host.isBusy && host.slowness == 0 && loss == 0 && !isCut[primary]
            && !isExhausted && host.toldTimeline(at: now) == history.highest
        return isPlain ? primary : nil
    }

    /// Its address, if the cluster has to use it: nothing else there claims to be the primary, unless somebody tells which of
    /// both is.
    fileprivate var servedPrimary: Int? {
        guard perception.rules.followsTimelines, let primary = plainPrimary, let address = address(of: primary),
            perception.isMember(address), !perception.isDrained(address)
        else { return nil }
        let isCopied = ours.contains { hosts[$0].isCopy }
        return isCopied && !isFollowedPlainly(primary) ? nil : address
    }

    fileprivate mutating func judge(_ kind: ClusterEvent.Kind, of address: Int) -> String? {
        let life = Duration.nanoseconds(perception.rules.evidenceLife)
        let (clock, isAlias) = (time, isOtherName(address))
        return perception.event(
            kind,
            at: address,
            now: clock.elapsed,
            stall: clock.stall(since: clock.now - life),
            isAlias: isAlias
        )
    }

    /// Whether the address leads to the server that takes the writes, under another name, and nowhere else.
    private func isOtherName(_ address: Int) -> Bool {
        guard let writer = perception.writers.first, writer != address, routes[writer] == routes[address] else {
            return false
        }
        return sessions.allSatisfy {
            $0.connection == nil || $0.address != address && $0.address != writer || $0.host == routes[address]
        }
    }

    /// What took too long, and what the process would have had the time for.
    fileprivate func complaint() -> String? {
        wasAway ? nil : perception.complaint(at: now)
    }

    fileprivate var wasAway: Bool {
        let life = Duration.nanoseconds(perception.rules.evidenceLife + perception.rules.checkTimeout)
        return time.absence(since: time.now - life * 2) > .zero
    }

    private func isFollowedPlainly(_ primary: Int) -> Bool {
        ours.contains { host in
            guard source(of: host) == primary, let address = address(of: host), perception.isMember(address) else {
                return false
            }
            return !isCut[host] && !hosts[host].isBusy && hosts[host].slowness == 0
        }
    }
}
