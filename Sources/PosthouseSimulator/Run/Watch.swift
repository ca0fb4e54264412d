// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster

/// Looks at the cluster every so often, and compares what it says with how things are.
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

    func end() { isOver.withLock { $0 = true } }

    func run(_ token: UInt64) {
        if isOver.withLock({ $0 }) { return }
        world.time.add(self, token: 0, at: world.time.elapsed + Self.interval)
        let snapshot = cluster.snapshot()
        let primaries = snapshot.primaries
        if primaries.count > 1 {
            world.violate("two hosts in the write set: \(primaries.map(\.host).joined(separator: ", "))")
        }
        guard let host = world.look({ $0.plainPrimary }) else { return }
        let since = world.time.elapsed - world.look { $0.touched }
        let name = SimulatedDriver.Endpoint(host: host).description
        if since > Self.bound, snapshot.primary != name {
            let states = snapshot.hosts.map { "\($0.host) \($0.role) \($0.state) \($0.reason ?? "")" }
            world.violate("\(name) is the primary, plainly, and not used: \(states.joined(separator: "; "))")
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
}
