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
        } catch {
            return Self.condition(of: error)
        }
    }

    @inline(never)
    private static func condition(of error: any Error) -> Condition {
        .invalid(isCancellation: error is CancellationError)
    }
}

@usableFromInline
class ConnectionOccupant<Connection: Sendable>: Occupant, @unchecked Sendable {
    @usableFromInline let connection: Connection

    init(slot: PoolSlot, affinity: Int, connection: Connection) {
        self.connection = connection
        super.init(slot: slot, affinity: affinity)
    }
}

/// Of the strategy's very type: each lease asks it twice, and an existential has to be opened each time.
private final class StrategyOccupant<Strategy: ConnectionStrategy>: ConnectionOccupant<Strategy.Connection>,
    @unchecked Sendable
{
    private let strategy: Strategy

    init(slot: PoolSlot, connection: Strategy.Connection, strategy: Strategy) {
        self.strategy = strategy
        super.init(slot: slot, affinity: strategy.affinity(of: connection), connection: connection)
    }

    override func isClosed() throws -> Bool { try strategy.isClosed(connection) }
    override func close() throws { try strategy.close(connection) }
    override func interrupt(_ reason: InterruptReason) { strategy.interrupt(connection, reason: reason) }
}

/// Opens connections of one member.
protocol SlotOpener: Sendable {
    func open(_ slot: PoolSlot) async throws -> Occupant
}

struct StrategyOpener<Strategy: ConnectionStrategy>: SlotOpener {
    let strategy: Strategy

    func open(_ slot: PoolSlot) async throws -> Occupant {
        StrategyOccupant(slot: slot, connection: try await strategy.create(slot: slot), strategy: strategy)
    }
}
