// SPDX-License-Identifier: Apache-2.0

/// Knows which hosts belong to a cluster: a list, a name server, Patroni, or whatever you have.
///
/// A source says where servers *may* be. It says nothing of roles: who is the primary, and whether a host may be used at
/// all, the cluster finds out from the hosts themselves. So a source that is wrong costs a connection attempt, not a write
/// to the wrong server.
///
/// The cluster asks again and again, one question at a time, and asks early when it looks for a primary. It adds hosts at
/// once, and takes them away slowly: see ``SourceRules``. A source that fails, or names nobody, takes nobody away.
///
/// ```swift
/// /// The replicas that a control plane of our own tells us of.
/// struct ControlPlane: TopologySource {
///     let client: ControlPlaneClient
///
///     func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<HostEndpoint>] {
///         try await client.databases(deadline: deadline).map { database in
///             SourcedHost(HostEndpoint(host: database.host, port: database.port), takesReads: !database.isBackup)
///         }
///     }
/// }
///
/// let cluster = try PostgresCluster("postgresql://app@/shop", source: ControlPlane(client: client))
/// ```
public protocol TopologySource<Endpoint>: Sendable {
    /// Where a server is reached; the driver's endpoint.
    associatedtype Endpoint: Sendable, Hashable, CustomStringConvertible

    /// All hosts that belong to the cluster now, in the order of preference between equals.
    ///
    /// Called by one task at a time. An answer after the deadline is not used.
    ///
    /// - Parameter deadline: When the answer has to be there; the task is cancelled then.
    /// - Throws: Whatever kept it from finding out. An answer that may be incomplete is an error, not an answer.
    func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<Endpoint>]

    /// How long an answer is good for, while all is well. Default: 10 s. At least a second passes between two questions
    /// in any case.
    var refreshInterval: Duration { get }
}

extension TopologySource {
    /// 10 s.
    public var refreshInterval: Duration { .seconds(10) }
}

/// A host that a source names.
public struct SourcedHost<Endpoint: Sendable & Hashable>: Sendable, Hashable {
    /// Where it is reached.
    public var endpoint: Endpoint
    /// Whether reads may go there while it is a replica. Default: true.
    public var takesReads: Bool

    /// Names a host.
    public init(_ endpoint: Endpoint, takesReads: Bool = true) {
        self.endpoint = endpoint
        self.takesReads = takesReads
    }
}

/// A list that does not change.
public struct StaticSource<Endpoint: Sendable & Hashable & CustomStringConvertible>: TopologySource {
    private let endpoints: [Endpoint]

    /// Makes a source that always names these hosts.
    public init(_ endpoints: [Endpoint]) {
        self.endpoints = endpoints
    }

    /// The list.
    public func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<Endpoint>] {
        endpoints.map { SourcedHost($0) }
    }
}
