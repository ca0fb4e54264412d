// SPDX-License-Identifier: Apache-2.0

// Functions that take a handle become functions that do not: they look for the shared pool when they are called.
//
// Where the handle goes is chosen by overloads. A pack of arguments takes what is behind the handle; for what is before it the
// language has no form: neither two packs in one list, nor a call with an argument behind a pack. The functions returned are
// `@concurrent`, because the compiler (6.3) crashes on closures that stay with their caller and take a pack.

extension SharedPool {
    /// Gives `body` a handle as its first argument, each time that the function that this returns is called.
    ///
    /// - Parameter body: The function: a closure, or the name of an asynchronous function (that of a synchronous one crashes the
    ///   compiler, 6.3; call it in a closure). The connection goes back when it returns or throws.
    /// - Returns: `body` without its first parameter. It does not run on its caller's actor. It throws ``PoolError/Code/notInitialized`` while no pool is shared,
    ///   what ``withConnection(_:)`` throws, and what `body` throws.
    public func connected<each Argument: Sendable, Result: Sendable>(
        at position: HandlePosition.First = .first,
        _ body: @escaping @Sendable (Pool.Handle, repeat each Argument) async throws -> Result
    ) -> @Sendable @concurrent (repeat each Argument) async throws -> Result {
        { @concurrent (argument: repeat each Argument) in
            try await self.withConnection { handle in try await body(handle, repeat each argument) }
        }
    }

    /// Gives `body` a handle as its second argument. See ``connected(at:_:)-(HandlePosition.First,_)``.
    public func connected<First: Sendable, each Argument: Sendable, Result: Sendable>(
        at position: HandlePosition.Second,
        _ body: @escaping @Sendable (First, Pool.Handle, repeat each Argument) async throws -> Result
    ) -> @Sendable @concurrent (First, repeat each Argument) async throws -> Result {
        { @concurrent (first: First, argument: repeat each Argument) in
            try await self.withConnection { handle in try await body(first, handle, repeat each argument) }
        }
    }

    /// Gives `body` a handle as its third argument. See ``connected(at:_:)-(HandlePosition.First,_)``.
    public func connected<First: Sendable, Second: Sendable, each Argument: Sendable, Result: Sendable>(
        at position: HandlePosition.Third,
        _ body: @escaping @Sendable (First, Second, Pool.Handle, repeat each Argument) async throws -> Result
    ) -> @Sendable @concurrent (First, Second, repeat each Argument) async throws -> Result {
        { @concurrent (first: First, second: Second, argument: repeat each Argument) in
            try await self.withConnection { handle in try await body(first, second, handle, repeat each argument) }
        }
    }

    /// Gives `body` a handle as its last argument, after one to five others. See
    /// ``connected(at:_:)-(HandlePosition.First,_)``.
    public func connected<First: Sendable, Result: Sendable>(
        at position: HandlePosition.Last,
        _ body: @escaping @Sendable (First, Pool.Handle) async throws -> Result
    ) -> @Sendable @concurrent (First) async throws -> Result {
        { @concurrent first in
            try await self.withConnection { handle in try await body(first, handle) }
        }
    }

    /// Gives `body` a handle as its last argument, the third.
    public func connected<First: Sendable, Second: Sendable, Result: Sendable>(
        at position: HandlePosition.Last,
        _ body: @escaping @Sendable (First, Second, Pool.Handle) async throws -> Result
    ) -> @Sendable @concurrent (First, Second) async throws -> Result {
        { @concurrent first, second in
            try await self.withConnection { handle in try await body(first, second, handle) }
        }
    }

    /// Gives `body` a handle as its last argument, the fourth.
    public func connected<First: Sendable, Second: Sendable, Third: Sendable, Result: Sendable>(
        at position: HandlePosition.Last,
        _ body: @escaping @Sendable (First, Second, Third, Pool.Handle) async throws -> Result
    ) -> @Sendable @concurrent (First, Second, Third) async throws -> Result {
        { @concurrent first, second, third in
            try await self.withConnection { handle in try await body(first, second, third, handle) }
        }
    }

    /// Gives `body` a handle as its last argument, the fifth.
    public func connected<First: Sendable, Second: Sendable, Third: Sendable, Fourth: Sendable, Result: Sendable>(
        at position: HandlePosition.Last,
        _ body: @escaping @Sendable (First, Second, Third, Fourth, Pool.Handle) async throws -> Result
    ) -> @Sendable @concurrent (First, Second, Third, Fourth) async throws -> Result {
        { @concurrent first, second, third, fourth in
            try await self.withConnection { handle in try await body(first, second, third, fourth, handle) }
        }
    }

    /// Gives `body` a handle as its last argument, the sixth.
    public func connected<
        First: Sendable,
        Second: Sendable,
        Third: Sendable,
        Fourth: Sendable,
        Fifth: Sendable,
        Result: Sendable
    >(
        at position: HandlePosition.Last,
        _ body: @escaping @Sendable (First, Second, Third, Fourth, Fifth, Pool.Handle) async throws -> Result
    ) -> @Sendable @concurrent (First, Second, Third, Fourth, Fifth) async throws -> Result {
        { @concurrent first, second, third, fourth, fifth in
            try await self.withConnection { handle in try await body(first, second, third, fourth, fifth, handle) }
        }
    }

    /// Puts a handle into the property with this label, each time that the function that this returns is called.
    ///
    /// Arguments of function values have no labels in Swift; properties have. So a function that takes its arguments by
    /// label takes them as one value:
    ///
    /// ```swift
    /// struct Transfer { var from, to: Int; var db: DatabaseSession? }
    /// let transfer = connected(\Transfer.db) { call in ... }
    /// try await transfer(Transfer(from: 1, to: 2))
    /// ```
    ///
    /// - Parameters:
    ///   - label: The property, which the caller leaves out. Its old value, if there is one, is replaced.
    ///   - body: The function.
    /// - Returns: A function that throws what ``connected(at:_:)-(HandlePosition.First,_)`` throws.
    public func connected<Arguments: Sendable, Result: Sendable>(
        _ label: any WritableKeyPath<Arguments, Pool.Handle?> & Sendable,
        _ body: @escaping @Sendable (Arguments) async throws -> Result
    ) -> @Sendable @concurrent (Arguments) async throws -> Result {
        { @concurrent arguments in
            try await self.withConnection { handle in
                var arguments = arguments
                arguments[keyPath: label] = handle
                return try await body(arguments)
            }
        }
    }
}

/// Where a function takes its handle.
public enum HandlePosition {
    /// Before all other arguments.
    public struct First: Sendable {
        /// Before all other arguments.
        public static let first = First()
    }

    /// After one argument.
    public struct Second: Sendable {
        /// After one argument.
        public static let second = Second()
    }

    /// After two arguments.
    public struct Third: Sendable {
        /// After two arguments.
        public static let third = Third()
    }

    /// After all other arguments.
    public struct Last: Sendable {
        /// After all other arguments.
        public static let last = Last()
    }
}
