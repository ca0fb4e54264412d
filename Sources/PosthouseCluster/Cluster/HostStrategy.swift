// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Ties pools, connections and tasks to the core until the core is halted.
///
/// Not by a weak reference: an object that has one counts every use of itself in the slow way, and each lease uses the core.
final class CoreLink<Driver: ClusterDriver>: Sendable {
    private let reference = Guarded<ClusterCore<Driver>?>(nil)

    func attach(_ core: ClusterCore<Driver>) {
        reference.withLock { $0 = core }
    }

    func detach() {
        reference.withLock { $0 = nil }
    }

    var core: ClusterCore<Driver>? { reference.withLock { $0 } }
}

/// The tie of one host's pool, connections and monitor.
struct HostLink<Driver: ClusterDriver>: Sendable {
    let host: Int
    let signs = SignsOfLife()
    fileprivate let link: CoreLink<Driver>

    init(host: Int, link: CoreLink<Driver>) {
        self.host = host
        self.link = link
    }

    var core: ClusterCore<Driver>? { link.core }
}

/// How the pool of one host makes and ends its connections.
struct HostStrategy<Driver: ClusterDriver>: ConnectionStrategy {
    let endpoint: Driver.Endpoint
    let driver: Driver
    let clock: any ClusterClock
    let connectTimeout: Duration
    let workTimeout: Duration
    let link: HostLink<Driver>
    /// Where it is noted how long statements take, if that is of use.
    let gauge: HostGauge?

    func create(slot: PoolSlot) async throws -> Driver.Connection {
        let deadline = clock.now + PoolConfiguration.driverTimeout(within: connectTimeout)
        do {
            let connection = try await driver.connect(
                to: endpoint,
                for: .pool,
                observer: PooledObserver(link: link, slot: slot, gauge: gauge),
                deadline: deadline
            )
            do {
                // Behind one name there may be another server than the one that was checked.
                let asked = clock.now
                let report = try await driver.probe(connection, deadline: deadline)
                try link.core?.admit(report, to: link.host, asked: asked)
                link.signs.note()
                return connection
            } catch {
                driver.close(connection)
                throw error
            }
        } catch {
            if !Task.isCancelled { link.core?.suspect(link.host, .connectionLost) }
            throw error
        }
    }

    func isClosed(_ connection: Driver.Connection) -> Bool { driver.isClosed(connection) }

    func validate(_ connection: Driver.Connection) async throws {
        do {
            let asked = clock.now
            if let report = try await driver.validate(connection, deadline: workDeadline) {
                try link.core?.admit(report, to: link.host, asked: asked)
            }
            link.signs.note()
        } catch {
            if !Task.isCancelled { link.core?.suspect(link.host, .silence) }
            throw error
        }
    }

    var recycles: Bool { driver.recycles }

    func needsRecycling(_ connection: Driver.Connection) -> Bool { driver.needsRecycling(connection) }

    func canBeRecycled(_ connection: Driver.Connection) -> Bool { driver.canBeRecycled(connection) }

    func recycle(_ connection: Driver.Connection) async throws {
        try await driver.recycle(connection, deadline: workDeadline)
    }

    func answers(on connection: Driver.Connection) -> UInt64 { driver.answers(on: connection) }

    private var workDeadline: ContinuousClock.Instant {
        clock.now + PoolConfiguration.driverTimeout(within: workTimeout)
    }

    func close(_ connection: Driver.Connection) { driver.close(connection) }

    func interrupt(_ connection: Driver.Connection, reason: InterruptReason) {
        driver.interrupt(connection, reason: reason)
    }

    func affinity(of connection: Driver.Connection) -> Int { driver.affinity(of: connection) }
}

/// Listens to one connection in the pool.
private final class PooledObserver<Driver: ClusterDriver>: ConnectionObserver {
    private let link: HostLink<Driver>
    private let slot: PoolSlot
    private let gauge: HostGauge?

    init(link: HostLink<Driver>, slot: PoolSlot, gauge: HostGauge?) {
        self.link = link
        self.slot = slot
        self.gauge = gauge
    }

    var measuresResponses: Bool { gauge != nil }

    func connection(answeredAfter time: Duration) {
        gauge?.answered(after: time)
    }

    func connection(noticed evidence: PassiveEvidence) {
        link.core?.suspect(link.host, evidence)
    }

    func withIdleClaim(_ body: () -> IdleVerdict) -> Bool {
        slot.withIdleClaim(body)
    }
}

/// Listens to the monitor's own session. Between two checks nobody else uses it, but the monitor may begin one
/// at any moment: what arrives meanwhile is for the next check to read, and that is asked for at once.
final class MonitorObserver<Driver: ClusterDriver>: ConnectionObserver {
    private let link: HostLink<Driver>

    init(link: HostLink<Driver>) {
        self.link = link
    }

    func connection(noticed evidence: PassiveEvidence) {
        link.core?.suspect(link.host, evidence)
    }

    func withIdleClaim(_ body: () -> IdleVerdict) -> Bool {
        link.core?.suspect(link.host, .connectionLost)
        return false
    }
}
