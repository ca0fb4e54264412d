// SPDX-License-Identifier: Apache-2.0

internal import PosthouseBase
public import PosthouseCluster
public import PosthousePostgres

/// Asks Patroni which hosts belong to the cluster, and who leads it.
///
/// Any Patroni of the cluster can be asked; they are asked in turn until one answers, the one that answered last first.
/// Members that Patroni knows no address of are left out. A member with the tag `noloadbalance` gets no reads, as Patroni's
/// own health checks for load balancers have it; `nofailover`, `nosync` and lag are Patroni's business when it elects, and
/// change nothing here.
///
/// Whoever answers in Patroni's name decides where the application logs in to. Use `https`, and `sslmode=verify-full` for
/// the servers themselves.
public final class PatroniSource: TopologySource, PrimaryWitness {
    /// The most bytes that an answer may have: 1 MiB.
    public static let answerLimit = 1 << 20

    /// How long an answer is good for while all is well. Default: 10 s, Patroni's own `loop_wait`.
    public let refreshInterval: Duration
    private let urls: [PatroniURL]
    private let transport: any PatroniTransport
    /// Which of the URLs answered last.
    private let preferred = Guarded(0)

    /// Makes a source.
    ///
    /// - Parameters:
    ///   - urls: Where the REST API of each Patroni is, for example `https://db1:8008`; at least one. User and password in a
    ///     URL are sent as basic authentication, and never logged.
    ///   - refreshInterval: How long an answer is good for while all is well. Default: 10 s.
    ///   - transport: Sends the requests. Default: Foundation's `URLSession`.
    /// - Throws: ``PatroniError`` with code `invalidURL`.
    public init(
        _ urls: [String],
        refreshInterval: Duration = .seconds(10),
        transport: (any PatroniTransport)? = nil
    ) throws(PatroniError) {
        guard !urls.isEmpty else { throw PatroniError(.invalidURL, "Patroni needs at least one URL.") }
        var parsed: [PatroniURL] = []
        for url in urls { parsed.append(try PatroniURL(url)) }
        self.urls = parsed
        self.refreshInterval = refreshInterval
        self.transport = transport ?? URLSessionTransport()
    }

    /// All members whose address Patroni knows.
    public func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<HostEndpoint>] {
        try await ask(deadline: deadline).hosts
    }

    /// The leader, as the cluster names it; `nil` if there is none at the moment.
    public func primary(deadline: ContinuousClock.Instant) async throws -> String? {
        let leader = try await ask(deadline: deadline).cluster.leader
        guard let leader, let endpoint = leader.endpoint, leader.state == "running" else { return nil }
        return endpoint.description
    }

    /// Everything that Patroni says of the cluster.
    ///
    /// - Throws: ``PatroniError``, or `CancellationError`.
    public func cluster(deadline: ContinuousClock.Instant) async throws -> PatroniCluster {
        try await ask(deadline: deadline).cluster
    }

    private struct Answer {
        var cluster: PatroniCluster
        var hosts: [SourcedHost<HostEndpoint>]
    }

    private func ask(deadline: ContinuousClock.Instant) async throws -> Answer {
        let first = preferred.withLock { $0 }
        var failures: [PatroniError] = []
        var reports: [String] = []
        for offset in urls.indices {
            let index = (first + offset) % urls.count
            let left = max(.zero, ContinuousClock.now.duration(to: deadline))
            do {
                let answer = try await ask(urls[index], until: .now + left / (urls.count - offset))
                preferred.withLock { $0 = index }
                return answer
            } catch {
                try Task.checkCancellation()
                let failure = error as? PatroniError ?? PatroniError(.unreachable, String(describing: error))
                failures.append(failure)
                reports.append("\(urls[index].name): \(failure.message)")
            }
        }
        let code = failures.last?.code ?? .unreachable
        throw PatroniError(code, "No Patroni gave an answer that can be used. \(reports.joined(separator: " "))")
    }

    private func ask(_ url: PatroniURL, until deadline: ContinuousClock.Instant) async throws -> Answer {
        let request = PatroniRequest(url: url.cluster, headers: url.headers, answerLimit: Self.answerLimit)
        let response = try await withThrowingTaskGroup(of: PatroniResponse.self) { [transport] group in
            group.addTask { try await transport.send(request) }
            group.addTask {
                try await Task.sleep(until: deadline, clock: .continuous)
                throw PatroniError(.timedOut, "There was no answer in time.")
            }
            defer { group.cancelAll() }
            guard let response = try await group.next() else { throw CancellationError() }
            return response
        }
        guard response.status == 200 else {
            throw PatroniError(.refused, "The answer has the status \(response.status).")
        }
        guard response.body.count <= Self.answerLimit else {
            throw PatroniError(.answerTooLarge, "The answer is larger than \(Self.answerLimit) bytes.")
        }
        let cluster = try PatroniCluster(json: response.body)
        let hosts = cluster.members.compactMap { member in
            member.endpoint.map { SourcedHost($0, takesReads: !member.takesNoReads) }
        }
        guard !hosts.isEmpty else { throw PatroniError(.noMembers, "The answer names no member with an address.") }
        return Answer(cluster: cluster, hosts: hosts)
    }
}

extension PatroniCluster.Member {
    /// Where PostgreSQL is reached, as far as Patroni knows.
    public var endpoint: HostEndpoint? {
        guard let host, let port else { return nil }
        return HostEndpoint(host: host, port: port)
    }
}
