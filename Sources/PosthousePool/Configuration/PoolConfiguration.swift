// SPDX-License-Identifier: Apache-2.0

/// The limits and times of one pool: a lone ``ConnectionPool``, or one member of a ``PoolGroup``.
public struct PoolConfiguration: Sendable {
    /// How many connections the pool keeps (soft limit). At least 1; default 10.
    public var maximumSize: Int

    /// How many connections may be open at once under load (hard limit; opening and closing ones count too). A connection
    /// that comes back while more than ``maximumSize`` are open and nobody waits is closed. At least ``maximumSize``;
    /// default `nil`: ``maximumSize`` is hard.
    public var burstLimit: Int?

    /// How long opening one connection may take. Default 10 s. One that hangs is cancelled then, and written off if it
    /// does not end within a second.
    public var connectTimeout: Duration

    /// How long a request of a lone pool waits if it gives no deadline. Default 5 s. A group has its own
    /// (``PoolGroupConfiguration/acquireTimeout``).
    public var acquireTimeout: Duration

    /// The first pause after a failed connect, where requests keep waiting (``ConnectFailurePolicy/keepWaiting``). It
    /// doubles with each further failure, and each pause is drawn between half and all of it. Default 100 ms.
    public var backoffBase: Duration

    /// The longest such pause. Default 10 s.
    public var backoffCap: Duration

    /// How many connections are opened at the same time. At least 1; default 10.
    ///
    /// This many only while none is open: then nothing can come back, and every waiting request needs its own. As soon as
    /// connections come back, two at a time are opened, so that a spike of short work does not open
    /// the whole pool; while none comes back, the number doubles with each one opened.
    public var maximumConcurrentConnects: Int

    /// The name of a lone pool in errors and events. Default "pool".
    public var name: String

    /// A configuration; every part has a default.
    public init(
        maximumSize: Int = 10,
        burstLimit: Int? = nil,
        connectTimeout: Duration = .seconds(10),
        acquireTimeout: Duration = .seconds(5),
        backoffBase: Duration = .milliseconds(100),
        backoffCap: Duration = .seconds(10),
        maximumConcurrentConnects: Int = 10,
        name: String = "pool"
    ) {
        self.maximumSize = maximumSize
        self.burstLimit = burstLimit
        self.connectTimeout = connectTimeout
        self.acquireTimeout = acquireTimeout
        self.backoffBase = backoffBase
        self.backoffCap = backoffCap
        self.maximumConcurrentConnects = maximumConcurrentConnects
        self.name = name
    }

    func validate() throws(PoolError) {
        try Self.validate(maximumSize: maximumSize, burstLimit: burstLimit)
        if maximumConcurrentConnects < 1 {
            throw .invalid("maximumConcurrentConnects is \(maximumConcurrentConnects); it must be at least 1")
        }
        if connectTimeout <= .zero {
            throw .invalid("connectTimeout is \(connectTimeout); it must be longer than zero")
        }
        if backoffBase <= .zero || backoffCap < backoffBase {
            throw .invalid(
                "backoff from \(backoffBase) to \(backoffCap): the base must be above zero, the cap not below it"
            )
        }
    }

    static func validate(maximumSize: Int, burstLimit: Int?) throws(PoolError) {
        if maximumSize < 1 {
            throw .invalid("maximumSize is \(maximumSize); it must be at least 1")
        }
        if let burstLimit, burstLimit < maximumSize {
            throw .invalid("burstLimit \(burstLimit) is below maximumSize \(maximumSize)")
        }
    }
}

/// What concerns a group as a whole.
public struct PoolGroupConfiguration: Sendable {
    /// The group's name in errors and events. Default "pool".
    public var name: String

    /// How long a request waits if it gives no deadline. Default 5 s.
    public var acquireTimeout: Duration

    /// What a failed connect means for the request that caused it. Default ``ConnectFailurePolicy/keepWaiting``.
    public var connectFailurePolicy: ConnectFailurePolicy

    /// How many requests may wait for a connection to come back, not counting those for which one is being opened; one
    /// more fails at once with ``PoolError/Code/exhausted``. Default `nil`: no limit.
    public var maximumWaiters: Int?

    /// Seeds the back-off's jitter and the choice among equally good members when a request waits, for tests (an idle
    /// connection is chosen without asking). Default `nil`: random.
    public var seed: UInt64?

    /// A configuration; every part has a default.
    public init(
        name: String = "pool",
        acquireTimeout: Duration = .seconds(5),
        connectFailurePolicy: ConnectFailurePolicy = .keepWaiting,
        maximumWaiters: Int? = nil,
        seed: UInt64? = nil
    ) {
        self.name = name
        self.acquireTimeout = acquireTimeout
        self.connectFailurePolicy = connectFailurePolicy
        self.maximumWaiters = maximumWaiters
        self.seed = seed
    }
}

/// What a failed connect means for the request that caused it.
public struct ConnectFailurePolicy: Sendable, Hashable {
    private enum Kind { case failRequester, keepWaiting }

    private let kind: Kind

    /// The error reaches the request that asked for the connect, if it still waits. The others go on waiting.
    public static let failRequester = ConnectFailurePolicy(kind: .failRequester)

    /// The error is remembered, the member is left alone for a while (back-off), and all requests wait on: for another
    /// member, for a connection that comes back, or until their deadline, whose error then tells what failed where.
    public static let keepWaiting = ConnectFailurePolicy(kind: .keepWaiting)
}
