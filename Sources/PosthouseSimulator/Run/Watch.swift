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
    private let isOver = Guarded(false)

    init(_ cluster: Cluster<SimulatedDriver>, _ world: SimulatedWorld) {
        self.cluster = cluster
        self.world = world
    }

    /// Has the configuration's cluster tell the world what it does.
    static func observe(_ configuration: inout ClusterConfiguration, _ hosts: Int, for world: SimulatedWorld) {
        let names = (0..<hosts).map { (SimulatedDriver.Endpoint(host: $0).description, $0) }
        let addresses = Dictionary(uniqueKeysWithValues: names)
        configuration.stepObserver = { step in
            switch step {
            case .serves(let name, let services):
                guard let address = addresses[name] else { return }
                world.judge { $0.serves(address, writes: services.contains(.primary)) }
            case .event(let event):
                guard let address = addresses[event.host], case .stateChanged(_, let state) = event.kind,
                    state == .down || state == .frozen
                else { return }
                world.judge { $0.declaredOut(address) }
            }
        }
    }

    func end() { isOver.withLock { $0 = true } }

    func run(_ token: UInt64) {
        if isOver.withLock({ $0 }) { return }
        world.time.add(self, token: 0, at: world.time.elapsed + Self.interval)
        let neglected: Int? = world.look { world in
            guard world.now - world.touched > Self.bound, let address = world.servedPrimary else { return nil }
            return world.perception.writers.contains { world.leads($0, to: world.primary) } ? nil : address
        }
        if let neglected {
            let states = cluster.snapshot().hosts.map { "\($0.host) \($0.role) \($0.state) \($0.reason ?? "")" }
            world.violate("host \(neglected) is the primary, plainly, and not used: \(states.joined(separator: "; "))")
        }
    }
}

extension SimulatedWorld {
    /// Takes a step of the cluster down, and what is wrong with it.
    func judge(_ body: (inout Perception) -> String?) {
        change { state in
            if let complaint = body(&state.perception) { state.tally.violate(complaint, at: state.now) }
        }
    }
}

extension WorldState {
    /// The primary, if whoever looks can see that it is: it runs, is reached, and has the highest timeline.
    var plainPrimary: Int? {
        let host = hosts[primary]
        let isPlain =
            host.runs && !host.isInRecovery && !host.isBusy && host.slowness == 0 && loss == 0 && !isCut[primary]
            && host.timeline == history.highest
        return isPlain ? primary : nil
    }

    /// Its address, if the cluster has to use it: nothing else there claims to be the primary, unless somebody tells which of
    /// both is.
    fileprivate var servedPrimary: Int? {
        guard let primary = plainPrimary, let address = address(of: primary), perception.isMember(address),
            !perception.isDrained(address)
        else { return nil }
        let isCopied = ours.contains { hosts[$0].isCopy }
        return isCopied && !isFollowedPlainly(primary) ? nil : address
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
