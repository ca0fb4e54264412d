// SPDX-License-Identifier: Apache-2.0

/// An open connection in its slot, its type erased so that the core needs to be compiled only once.
///
/// Unchecked only because it has a subclass: all stored properties, the subclass's too, are immutable and Sendable.
@usableFromInline
class Occupant: @unchecked Sendable {
    @usableFromInline let slot: PoolSlot
    let affinity: Int

    init(slot: PoolSlot, affinity: Int) {
        self.slot = slot
        self.affinity = affinity
    }

    func isClosed() throws -> Bool { true }
    func close() throws {}
    func interrupt(_ reason: InterruptReason) {}

    /// What the strategy says of it, as the pool's rules take it.
    final var condition: Condition {
        do {
            return try isClosed() ? .closed : .usable
        } catch is CancellationError {
            return .invalid(isCancellation: true)
        } catch {
            return .invalid(isCancellation: false)
        }
    }
}

@usableFromInline
final class ConnectionOccupant<Connection: Sendable>: Occupant, @unchecked Sendable {
    @usableFromInline let connection: Connection
    private let strategy: any ConnectionStrategy<Connection>

    init(slot: PoolSlot, connection: Connection, strategy: any ConnectionStrategy<Connection>) {
        self.connection = connection
        self.strategy = strategy
        super.init(slot: slot, affinity: strategy.affinity(of: connection))
    }

    override func isClosed() throws -> Bool { try strategy.isClosed(connection) }
    override func close() throws { try strategy.close(connection) }
    override func interrupt(_ reason: InterruptReason) { strategy.interrupt(connection, reason: reason) }
}

/// Opens connections of one member.
protocol SlotOpener: Sendable {
    func open(_ slot: PoolSlot) async throws -> Occupant
}

struct StrategyOpener<Connection: Sendable>: SlotOpener {
    let strategy: any ConnectionStrategy<Connection>

    func open(_ slot: PoolSlot) async throws -> Occupant {
        ConnectionOccupant(slot: slot, connection: try await strategy.create(slot: slot), strategy: strategy)
    }
}
