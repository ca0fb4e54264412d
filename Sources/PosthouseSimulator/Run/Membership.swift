// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

/// The operator's hand on the cluster: has it do what faults say of its membership, and the world know it.
final class Membership: Sendable {
    private let cluster: Cluster<SimulatedDriver>

    init(_ cluster: Cluster<SimulatedDriver>) {
        self.cluster = cluster
    }

    /// What the cluster refuses, as the removal of the only host, does not happen.
    func apply(_ fault: Fault, in world: SimulatedWorld) {
        if fault == .heal {
            for address in world.look({ $0.routes.indices }) {
                add(address, world)
                undrain(address, world)
            }
            return
        }
        guard let target = fault.targets.first else { return }
        let address: Int? = world.look { world in
            let host = world.index(of: target)
            return world.ours.contains(host) ? world.address(of: host) ?? host : nil
        }
        guard let address else { return }
        switch fault {
        case .drain: drain(address, world)
        case .undrain: undrain(address, world)
        case .remove: remove(address, world)
        case .add: add(address, world)
        case .adopt: adopt(address, world)
        default: return
        }
    }

    private func endpoint(_ address: Int) -> SimulatedDriver.Endpoint { SimulatedDriver.Endpoint(host: address) }

    private func drain(_ address: Int, _ world: SimulatedWorld) {
        guard (try? cluster.drainHost(endpoint(address))) != nil else { return }
        world.change { $0.perception.drained(address, at: $0.now) }
    }

    private func undrain(_ address: Int, _ world: SimulatedWorld) {
        guard (try? cluster.undrainHost(endpoint(address))) != nil else { return }
        world.change { $0.perception.undrained(address) }
    }

    private func remove(_ address: Int, _ world: SimulatedWorld) {
        let name = endpoint(address).description
        let before = cluster.snapshot().hosts.first { $0.host == name }
        guard (try? cluster.removeHost(endpoint(address))) != nil else { return }
        let isReplica = before?.report?.isInRecovery == true
        world.change { $0.perception.removed(address, isCutOff: !isReplica, at: $0.now) }
    }

    /// What claims to be a replica, or does not answer, is not adopted.
    private func adopt(_ address: Int, _ world: SimulatedWorld) {
        let name = endpoint(address).description
        guard let host = cluster.snapshot().hosts.first(where: { $0.host == name }), host.state != .unknown,
            host.report?.isInRecovery == false, (try? cluster.adoptPrimary(endpoint(address))) != nil
        else { return }
        world.change { $0.decide(for: $0.routes[address]) }
    }

    private func add(_ address: Int, _ world: SimulatedWorld) {
        guard (try? cluster.addHost(endpoint(address))) != nil else { return }
        world.change { $0.perception.added(address, at: $0.now) }
    }
}
