// SPDX-License-Identifier: Apache-2.0

/// The limits and times of one pool: a lone ``ConnectionPool``, or one member of a ``PoolGroup``.
public struct PoolConfiguration: Sendable {
    /// How many connections the pool keeps (soft limit). At least 1; default 10.
    public var maximumSize: Int

    /// How many connections may be open at once under load (hard limit; opening and closing ones count too). A connection
    /// that comes back while more than ``maximumSize`` are open and nobody waits is closed. At least ``maximumSize``;
    /// default `nil`: ``maximumSize`` is hard.
    ///
    /// It is for bursts. A load that lies between both limits for long opens connections and closes them again all the time,
    /// whenever nobody waits for them. ``maximumConnectRate`` bounds that; a larger ``maximumSize`` avoids it.
    public var burstLimit: Int?

    /// How many connections the pool opens without being asked, and keeps. Not more than ``maximumSize``; default 0: lazy.
    public var minimumSize: Int

    /// How many connections the pool tries to have idle, beyond those in use; it opens them ahead of requests, up to
    /// ``maximumSize``. Default 0.
    public var minimumIdle: Int

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

    /// How many connects may begin within any second. At least 1; default `nil`: no limit. It spares a server that comes back,
    /// or that all connections have to be renewed at.
    public var maximumConnectRate: Int?

    /// A connection that nobody has used for so long is closed, as long as ``minimumSize`` and ``minimumIdle`` are kept.
    /// Default 10 minutes; `nil`: never. It may take a quarter longer: nobody looks at a clock when a connection comes back,
    /// a housekeeper comes around four times in this time.
    public var idleTimeout: Duration?

    /// A connection that is so old is closed and, if need be, replaced; a leased one when it comes back. Default 1 hour;
    /// `nil`: never.
    public var maximumLifetime: Duration?

    /// The part of ``maximumLifetime`` that is up to chance: drawn once for each connection, so that those that were opened
    /// together are not closed together. From 0 to 1; default 0.1: they live between 90 % and all of it.
    public var lifetimeJitter: Double

    /// A connection that has been leased so many times is closed when it comes back. At least 1; default `nil`: no limit.
    public var maximumUses: Int?

    /// A connection that nobody has used for so long is validated (``ConnectionStrategy/validate(_:)``), one at a time, and
    /// closed if that fails. Default `nil`: never. It may take a quarter longer.
    public var keepAliveInterval: Duration?

    /// Whether connections are validated (``ConnectionStrategy/validate(_:)``) when they are handed out. Default
    /// ``ValidationPolicy/never``: a connection whose socket was closed is noticed without.
    public var validation: ValidationPolicy

    /// How long one validation, recycling or hook may take; then it is cancelled, its connection interrupted, and closed when
    /// it has ended. One that has not ended a second later is written off: it counts no more. Default 5 s.
    public var workTimeout: Duration

    /// A lease that lasts for so long is reported (``PoolObserver/leaked(_:)``), with the place in the source that asked for
    /// it; and once more when it ends after all. Default `nil`: none is. It may take a quarter longer.
    public var leakDetectionThreshold: Duration?

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
        minimumSize: Int = 0,
        minimumIdle: Int = 0,
        maximumConnectRate: Int? = nil,
        idleTimeout: Duration? = .seconds(600),
        maximumLifetime: Duration? = .seconds(3600),
        lifetimeJitter: Double = 0.1,
        maximumUses: Int? = nil,
        keepAliveInterval: Duration? = nil,
        validation: ValidationPolicy = .never,
        workTimeout: Duration = .seconds(5),
        leakDetectionThreshold: Duration? = nil,
        name: String = "pool"
    ) {
        self.maximumSize = maximumSize
        self.burstLimit = burstLimit
        self.connectTimeout = connectTimeout
        self.acquireTimeout = acquireTimeout
        self.backoffBase = backoffBase
        self.backoffCap = backoffCap
        self.maximumConcurrentConnects = maximumConcurrentConnects
        self.minimumSize = minimumSize
        self.minimumIdle = minimumIdle
        self.maximumConnectRate = maximumConnectRate
        self.idleTimeout = idleTimeout
        self.maximumLifetime = maximumLifetime
        self.lifetimeJitter = lifetimeJitter
        self.maximumUses = maximumUses
        self.keepAliveInterval = keepAliveInterval
        self.validation = validation
        self.workTimeout = workTimeout
        self.leakDetectionThreshold = leakDetectionThreshold
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
        try validateMinimums()
        try validateTimes()
    }

    private func validateMinimums() throws(PoolError) {
        for (name, value) in [("minimumSize", minimumSize), ("minimumIdle", minimumIdle)]
        where !(0...maximumSize).contains(value) {
            throw .invalid("\(name) is \(value); it must be from 0 to maximumSize, which is \(maximumSize)")
        }
        for (name, value) in [("maximumConnectRate", maximumConnectRate), ("maximumUses", maximumUses)] {
            if let value, value < 1 { throw .invalid("\(name) is \(value); it must be at least 1") }
        }
    }

    private func validateTimes() throws(PoolError) {
        let times: [(String, Duration?)] = [
            ("idleTimeout", idleTimeout), ("maximumLifetime", maximumLifetime),
            ("keepAliveInterval", keepAliveInterval),
            ("workTimeout", workTimeout), ("leakDetectionThreshold", leakDetectionThreshold),
        ]
        for (name, value) in times {
            if let value, value <= .zero { throw .invalid("\(name) is \(value); it must be longer than zero") }
        }
        if let threshold = validation.idleThreshold, threshold <= .zero {
            throw .invalid("validation if idle for longer than \(threshold): it must be longer than zero")
        }
        if !(0...1).contains(lifetimeJitter) {
            throw .invalid("lifetimeJitter is \(lifetimeJitter); it must be from 0 to 1")
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

/// Whether a connection is validated when it is handed out.
public struct ValidationPolicy: Sendable, Hashable {
    private enum Kind: Hashable { case never, always, ifIdle(Duration) }

    private let kind: Kind

    /// Only ``ConnectionStrategy/isClosed(_:)`` is asked.
    public static let never = ValidationPolicy(kind: .never)

    /// Every time: a round trip for each request.
    public static let always = ValidationPolicy(kind: .always)

    /// If nobody has used it for so long; it may take a quarter longer until it is validated.
    public static func ifIdle(longerThan threshold: Duration) -> ValidationPolicy {
        ValidationPolicy(kind: .ifIdle(threshold))
    }

    var idleThreshold: Duration? {
        if case .ifIdle(let threshold) = kind { threshold } else { nil }
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

    /// Connects that have failed for so long, while nothing is open, make the pool refuse requests at once
    /// (``PoolError/Code/unavailable``), those that wait, too, instead of letting each run into its deadline. It goes on
    /// trying to connect, and serves again as soon as that works. Of several members, all that could serve a request must be
    /// in that state. Default `nil`: requests wait.
    public var failFastAfter: Duration?

    /// Sheds load when requests wait for too long. Default `nil`: each waits until its deadline.
    public var overload: OverloadControl?

    /// A limit that the group shares with other groups. Default `nil`: only the members' own limits count.
    public var budget: ConnectionBudget?

    /// Seeds the back-off's jitter and the choice among equally good members when a request waits, for tests (an idle
    /// connection is chosen without asking). Default `nil`: random.
    public var seed: UInt64?

    /// How requests wait for a single pool, unless more is said.
    init(of pool: PoolConfiguration) {
        self.init(name: pool.name, acquireTimeout: pool.acquireTimeout, connectFailurePolicy: .failRequester)
    }

    /// Whether idle connections are leased without the lock where that is possible. The tests say no, to compare.
    var laysIdleOpen = true

    /// How idle connections are dealt out to threads; the tests have one stripe where they say which connection is next.
    var stripes: Stripes

    /// A configuration; every part has a default.
    public init(
        name: String = "pool",
        acquireTimeout: Duration = .seconds(5),
        connectFailurePolicy: ConnectFailurePolicy = .keepWaiting,
        maximumWaiters: Int? = nil,
        failFastAfter: Duration? = nil,
        overload: OverloadControl? = nil,
        budget: ConnectionBudget? = nil,
        seed: UInt64? = nil
    ) {
        self.name = name
        self.acquireTimeout = acquireTimeout
        self.connectFailurePolicy = connectFailurePolicy
        self.maximumWaiters = maximumWaiters
        self.failFastAfter = failFastAfter
        self.overload = overload
        self.budget = budget
        self.seed = seed
        // What is replayed from a seed must not depend on the machine.
        self.stripes = seed == nil ? .ofMachine : .ofAnyMachine
    }

    func validate() throws(PoolError) {
        if let maximumWaiters, maximumWaiters < 0 {
            throw .invalid("maximumWaiters is \(maximumWaiters); it must not be negative")
        }
        if let failFastAfter, failFastAfter < .zero {
            throw .invalid("failFastAfter is \(failFastAfter); it must not be negative")
        }
        if let overload, overload.target <= .zero || overload.interval <= .zero {
            throw .invalid("overload control with \(overload): both times must be longer than zero")
        }
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
