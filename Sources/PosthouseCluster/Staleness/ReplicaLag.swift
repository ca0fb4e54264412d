// SPDX-License-Identifier: Apache-2.0

/// How far a replica is behind the primary, as of their last answers.
public struct ReplicaLag: Sendable, Hashable {
    /// Write-ahead log that the primary had written and the replica has not replayed, in bytes.
    public var bytes: UInt64
    /// For how long the primary had been beyond the replica's position when that was asked. Zero for a replica that has
    /// replayed all that was known of, however long ago the last write was.
    ///
    /// The primary is asked every ``ClusterConfiguration/refreshDelay``: this is too low by up to that; while the primary answers
    /// slowly or misses a question, by up to twice that and ``ClusterConfiguration/refreshTimeout``. After a longer silence it
    /// counts as if it had written at its beginning, and this may be too high.
    public var time: Duration

    /// Makes a lag.
    public init(bytes: UInt64, time: Duration) {
        self.bytes = bytes
        self.time = time
    }
}

/// How far behind a replica may be to be read from.
///
/// ```swift
/// let left = try await cluster.read(maxLag: .time(.seconds(2))) { db in ... }
/// ```
///
/// A replica is stale when it has been beyond a limit for ``gracePeriod``, and fresh again at three quarters of the limits, so
/// that one at the limit does not come and go. A replica whose lag is not known, because it follows an older timeline or
/// does not tell its position, is stale.
public struct LagLimit: Sendable, Hashable {
    /// The most write-ahead log to be behind, in bytes. `nil`: no limit.
    public var bytes: UInt64?
    /// The longest time to be behind. `nil`: no limit.
    public var time: Duration?
    /// How long a replica may be beyond a limit before it is stale. Default: zero.
    public var gracePeriod: Duration

    /// A limit; what is left out has none.
    public init(bytes: UInt64? = nil, time: Duration? = nil, gracePeriod: Duration = .zero) {
        self.bytes = bytes
        self.time = time
        self.gracePeriod = gracePeriod
    }

    /// At most so many bytes behind.
    public static func bytes(_ bytes: UInt64) -> LagLimit { LagLimit(bytes: bytes) }

    /// At most so long behind.
    public static func time(_ time: Duration) -> LagLimit { LagLimit(time: time) }

    /// What is wrong with it, or `nil`.
    var complaint: String? {
        if let time, time < .zero { return "a lag limit must not be negative" }
        if gracePeriod < .zero { return "the grace period of a lag limit must not be negative" }
        return nil
    }

    /// Whether a replica so far behind may stay.
    func admits(_ lag: ReplicaLag) -> Bool {
        (bytes.map { lag.bytes <= $0 } ?? true) && (time.map { lag.time <= $0 } ?? true)
    }

    /// Whether a replica so far behind may come back.
    func readmits(_ lag: ReplicaLag) -> Bool {
        (bytes.map { lag.bytes <= $0 - $0 / 4 } ?? true) && (time.map { lag.time <= $0 * 0.75 } ?? true)
    }
}

/// Which replicas reads go to, by how far they are behind (``ClusterConfiguration/staleness``).
public struct StalenessPolicy: Sendable, Hashable {
    /// What a replica must keep to count as fresh.
    public var limit: LagLimit
    /// Whether stale replicas serve while there is no fresh one, nor, with ``ClusterConfiguration/fallbackPrimary``, a
    /// primary. Default: false.
    public var usesStaleReplicas: Bool

    /// Makes a policy.
    public init(limit: LagLimit, usesStaleReplicas: Bool = false) {
        self.limit = limit
        self.usesStaleReplicas = usesStaleReplicas
    }
}

extension ReplicaLag: CustomStringConvertible {
    /// "4096 bytes, 0.5 seconds".
    public var description: String { "\(bytes) bytes, \(time)" }
}

extension LagLimit: CustomStringConvertible {
    /// What there is of it, as of a ``ReplicaLag``.
    public var description: String {
        let parts = [bytes.map { "\($0) bytes" }, time.map { "\($0)" }].compactMap { $0 }
        return parts.isEmpty ? "nothing but a known lag" : parts.joined(separator: " and ")
    }
}
