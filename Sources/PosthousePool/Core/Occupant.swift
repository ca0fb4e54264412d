// SPDX-License-Identifier: Apache-2.0

/// An open connection in its slot, its type erased so that the core needs to be compiled only once.
///
/// Unchecked only because it has a subclass: all stored properties, the subclass's too, are immutable and Sendable.
@usableFromInline
class Occupant: @unchecked Sendable {
    @usableFromInline let slot: PoolSlot
    let affinity: Int
    /// Whether there may be something to do when it comes back.
    let isTendedOnReturn: Bool

    init(slot: PoolSlot, affinity: Int, isTendedOnReturn: Bool) {
        self.slot = slot
        self.affinity = affinity
        self.isTendedOnReturn = isTendedOnReturn
    }

    func isClosed() throws -> Bool { true }
    func needsTending() -> Bool { false }
    func canBeRecycled() -> Bool { false }
    func answers() -> UInt64 { 0 }
    func validate() async throws {}
    func recycle() async throws {}
    /// Throws what the hook threw.
    func prepare(validating: Bool) async throws -> Preparation.Verdict { .ready }
    func close(_ reason: CloseReason) throws {}
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

    /// As ``condition``, of a connection that comes back.
    final var conditionOnReturn: Condition {
        let condition = condition
        return switch condition {
        case .usable: isTendedOnReturn && needsTending() ? .soiled : .usable
        case .closed: canBeRecycled() ? .soiled : .closed
        default: condition
        }
    }
}

@usableFromInline
class ConnectionOccupant<Connection: Sendable>: Occupant, @unchecked Sendable {
    @usableFromInline let connection: Connection

    init(slot: PoolSlot, affinity: Int, isTendedOnReturn: Bool, connection: Connection) {
        self.connection = connection
        super.init(slot: slot, affinity: affinity, isTendedOnReturn: isTendedOnReturn)
    }
}

/// Of the strategy's very type: each lease asks it twice, and an existential has to be opened each time.
private final class StrategyOccupant<Strategy: ConnectionStrategy>: ConnectionOccupant<Strategy.Connection>,
    @unchecked Sendable
{
    private let strategy: Strategy
    private let hooks: PoolHooks<Strategy.Connection>

    init(
        slot: PoolSlot,
        connection: Strategy.Connection,
        strategy: Strategy,
        hooks: PoolHooks<Strategy.Connection>
    ) {
        self.strategy = strategy
        self.hooks = hooks
        super.init(
            slot: slot,
            affinity: strategy.affinity(of: connection),
            isTendedOnReturn: strategy.recycles || hooks.returned != nil,
            connection: connection
        )
    }

    override func isClosed() throws -> Bool { try strategy.isClosed(connection) }

    override func needsTending() -> Bool {
        hooks.returned != nil || strategy.needsRecycling(connection)
    }

    override func canBeRecycled() -> Bool { strategy.canBeRecycled(connection) }

    override func answers() -> UInt64 { strategy.answers(on: connection) }

    override func validate() async throws { try await strategy.validate(connection) }

    override func recycle() async throws {
        if strategy.canBeRecycled(connection) || (strategy.recycles && strategy.needsRecycling(connection)) {
            try await strategy.recycle(connection)
        }
        try await hooks.returned?(connection)
    }

    override func prepare(validating: Bool) async throws -> Preparation.Verdict {
        if validating {
            do { try await strategy.validate(connection) } catch { return .unfit(error) }
        }
        if let hook = hooks.beforeHandOut, case .replace = try await hook(connection) { return .unfit(nil) }
        return .ready
    }

    override func close(_ reason: CloseReason) throws {
        hooks.closing?(connection, reason)
        try strategy.close(connection)
    }

    override func interrupt(_ reason: InterruptReason) { strategy.interrupt(connection, reason: reason) }
}

/// Opens connections of one member.
protocol SlotOpener: Sendable {
    /// Whether there may be something to do, beside validating, before a connection is handed out.
    var hasHandOutHook: Bool { get }

    func open(_ slot: PoolSlot) async throws -> Occupant
}

struct StrategyOpener<Strategy: ConnectionStrategy>: SlotOpener {
    let strategy: Strategy
    let hooks: PoolHooks<Strategy.Connection>

    var hasHandOutHook: Bool { hooks.beforeHandOut != nil }

    func open(_ slot: PoolSlot) async throws -> Occupant {
        let connection = try await strategy.create(slot: slot)
        if let created = hooks.created {
            do {
                try await created(connection)
            } catch {
                // The hook's error is the one that counts.
                try? strategy.close(connection)
                throw error
            }
        }
        return StrategyOccupant(slot: slot, connection: connection, strategy: strategy, hooks: hooks)
    }
}
