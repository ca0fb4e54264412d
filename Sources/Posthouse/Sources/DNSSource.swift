// SPDX-License-Identifier: Apache-2.0

public import PosthouseCluster
public import PosthousePostgres
import PosthouseReactor

/// Every address of a host name is a host: for names behind which servers come and go, as Kubernetes' headless services or
/// the names of a service registry.
///
/// The name stays with each address: TLS verifies it, and the password file is searched for it. A name that cannot be
/// resolved at the moment counts with what was known of it last. A server that has an IPv4 and an IPv6 address counts as
/// two hosts, with a pool each.
///
/// A name that always leads to *one* server, another one after a failover, needs no source: every new connection resolves
/// the name anew.
public struct DNSSource: TopologySource {
    typealias LookUp = @Sendable (HostEndpoint, ContinuousClock.Instant) async throws -> [HostEndpoint]

    /// How long an answer is good for while all is well.
    public let refreshInterval: Duration
    private let names: [HostEndpoint]
    private let lookUp: LookUp

    /// Makes a source.
    ///
    /// - Parameters:
    ///   - names: Host names with their ports. Addresses and socket directories stand for themselves.
    ///   - refreshInterval: How long an answer is good for while all is well. Default: 10 s. Name servers' caches may hold a
    ///     name longer than that: its time to live counts.
    /// - Throws: `ReactorError` if the system has no thread or descriptor left.
    public init(_ names: [HostEndpoint], refreshInterval: Duration = .seconds(10)) throws {
        let loop = try MonitorLoop.shared.get()
        self.init(names, refreshInterval: refreshInterval) { name, deadline in
            try await name.addresses(on: loop, deadline: deadline)
        }
    }

    init(_ names: [HostEndpoint], refreshInterval: Duration = .seconds(10), lookUp: @escaping LookUp) {
        self.names = names
        self.refreshInterval = refreshInterval
        self.lookUp = lookUp
    }

    /// The addresses of all names.
    ///
    /// - Throws: ``DatabaseError`` if a name has never had an address. The hosts behind it are not known then, and without them the
    ///   answer would not be whole.
    public func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<HostEndpoint>] {
        try await withThrowingTaskGroup(of: (Int, [HostEndpoint]).self) { group in
            for (index, name) in names.enumerated() {
                group.addTask { [lookUp] in (index, try await lookUp(name, deadline)) }
            }
            var answers = Array(repeating: [HostEndpoint](), count: names.count)
            for try await (index, addresses) in group { answers[index] = addresses }
            return answers.joined().map { SourcedHost($0) }
        }
    }
}
