// SPDX-License-Identifier: Apache-2.0

public import PosthousePool
public import PosthousePostgres

// ``DatabasePool/shared`` is what functions find if nothing else is said. For others: `PersonalDatabasePool.shared.connected`.

/// Gives `body` a connection of the shared ``DatabasePool`` as its first argument, each time that the function that this returns
/// is called.
///
/// ```swift
/// let rename = connected { (db, id: Int, name: String) in
///     try await db.execute("UPDATE items SET name = \(name) WHERE id = \(id)")
/// }
/// try DatabasePool.initialize("postgresql://app@db/shop")
/// try await rename(7, "lamp")
/// ```
///
/// The pool is looked up when the function is called. See ``SharedPool/connected(at:_:)-(HandlePosition.First,_)``.
public func connected<each Argument: Sendable, Result: Sendable>(
    at position: HandlePosition.First = .first,
    _ body: @escaping @Sendable (DatabaseSession, repeat each Argument) async throws -> Result
) -> @Sendable @concurrent (repeat each Argument) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its second argument.
public func connected<First: Sendable, each Argument: Sendable, Result: Sendable>(
    at position: HandlePosition.Second,
    _ body: @escaping @Sendable (First, DatabaseSession, repeat each Argument) async throws -> Result
) -> @Sendable @concurrent (First, repeat each Argument) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its third argument.
public func connected<First: Sendable, Second: Sendable, each Argument: Sendable, Result: Sendable>(
    at position: HandlePosition.Third,
    _ body: @escaping @Sendable (First, Second, DatabaseSession, repeat each Argument) async throws -> Result
) -> @Sendable @concurrent (First, Second, repeat each Argument) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its last argument.
public func connected<First: Sendable, Result: Sendable>(
    at position: HandlePosition.Last,
    _ body: @escaping @Sendable (First, DatabaseSession) async throws -> Result
) -> @Sendable @concurrent (First) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its last argument.
public func connected<First: Sendable, Second: Sendable, Result: Sendable>(
    at position: HandlePosition.Last,
    _ body: @escaping @Sendable (First, Second, DatabaseSession) async throws -> Result
) -> @Sendable @concurrent (First, Second) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its last argument.
public func connected<First: Sendable, Second: Sendable, Third: Sendable, Result: Sendable>(
    at position: HandlePosition.Last,
    _ body: @escaping @Sendable (First, Second, Third, DatabaseSession) async throws -> Result
) -> @Sendable @concurrent (First, Second, Third) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its last argument.
public func connected<First: Sendable, Second: Sendable, Third: Sendable, Fourth: Sendable, Result: Sendable>(
    at position: HandlePosition.Last,
    _ body: @escaping @Sendable (First, Second, Third, Fourth, DatabaseSession) async throws -> Result
) -> @Sendable @concurrent (First, Second, Third, Fourth) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Gives `body` a connection of the shared ``DatabasePool`` as its last argument.
public func connected<
    First: Sendable,
    Second: Sendable,
    Third: Sendable,
    Fourth: Sendable,
    Fifth: Sendable,
    Result: Sendable
>(
    at position: HandlePosition.Last,
    _ body: @escaping @Sendable (First, Second, Third, Fourth, Fifth, DatabaseSession) async throws -> Result
) -> @Sendable @concurrent (First, Second, Third, Fourth, Fifth) async throws -> Result {
    DatabasePool.shared.connected(at: position, body)
}

/// Puts a connection of the shared ``DatabasePool`` into the property with this label. See ``SharedPool/connected(_:_:)``.
public func connected<Arguments: Sendable, Result: Sendable>(
    _ label: any WritableKeyPath<Arguments, DatabaseSession?> & Sendable,
    _ body: @escaping @Sendable (Arguments) async throws -> Result
) -> @Sendable @concurrent (Arguments) async throws -> Result {
    DatabasePool.shared.connected(label, body)
}
