// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// A PostgreSQL cluster on this machine that Patroni runs: it notices that a primary is dead, and promotes a replica.
///
/// ```swift
/// try await LocalPatroni.withCluster { patroni in
///     // ... connect to patroni.dsn() ...
///     let old = try await patroni.leader()
///     try await old.kill()
///     let new = try await patroni.waitForLeader(otherThan: old)
///     // ... the application writes again ...
///     try await old.start()       // it is rewound, and follows
///     try await patroni.waitUntilWhole()
/// }
/// ```
///
/// Patroni and etcd are the programs that are installed. Everything runs in a temporary folder, on free loopback ports,
/// and as little is left over as of a ``LocalCluster``: nothing, however the process ends.
public final class LocalPatroni: Sendable {
    /// All members, in the order of their names. The first leads when the cluster has started.
    public let members: [PatroniMember]
    let servers: LocalCluster
    private let etcd: LocalEtcd
    private let isSynchronous: Bool

    init(members: [PatroniMember], servers: LocalCluster, etcd: LocalEtcd, isSynchronous: Bool) {
        self.members = members
        self.servers = servers
        self.etcd = etcd
        self.isSynchronous = isSynchronous
    }

    /// A connection string that names all members, in the order of ``members``; see
    /// ``LocalCluster/dsn(user:database:password:parameters:)``.
    public func dsn(
        user: String = "postgres",
        database: String = "postgres",
        password: String? = nil,
        parameters: [String: String] = [:]
    ) -> String {
        servers.dsn(user: user, database: database, password: password, parameters: parameters)
    }

    /// The folder of everything that belongs to the cluster.
    public var folder: String { servers.folder }

    /// The last lines of the logs of all members, for the report of a test that failed.
    public func logs(lines: Int = 40) -> String { servers.logs(lines: lines) }

    /// Ends the cluster: kills its processes, removes its files, and waits until that is done. Doing it again does
    /// nothing, and neither does cancelling the task.
    ///
    /// - Throws: ``LocalClusterError/Code/cleanUpFailed``.
    public func shutdown() async throws(LocalClusterError) {
        try await servers.shutdown()
    }

    // MARK: - Who leads

    /// The member that holds the leader's lease and takes writes, waited for.
    ///
    /// - Throws: ``LocalClusterError/Code/timedOut``, with what the members say.
    public func leader(within limit: Duration = .seconds(120)) async throws(LocalClusterError) -> PatroniMember {
        try await waitForLeader(otherThan: nil, within: limit)
    }

    /// Waits until another member leads and takes writes.
    ///
    /// - Throws: ``LocalClusterError/Code/timedOut``, with what the members say.
    public func waitForLeader(
        otherThan former: PatroniMember?,
        within limit: Duration = .seconds(180)
    ) async throws(LocalClusterError) -> PatroniMember {
        var found: PatroniMember?
        let elected = try await waitUntil(.now + limit, every: .milliseconds(20)) {
            () async throws(LocalClusterError) in
            for member in self.members where member !== former {
                guard await member.leads() else { continue }
                found = member
                return true
            }
            return false
        }
        guard elected, let found else { throw await failure("Nobody leads after \(limit.inSeconds).") }
        return found
    }

    /// Waits until one member leads and all others stream from it, one of them synchronously if that is asked for: until
    /// then Patroni elects nobody.
    ///
    /// - Throws: ``LocalClusterError/Code/timedOut``, with what the members say.
    public func waitUntilWhole(within limit: Duration = .seconds(180)) async throws(LocalClusterError) {
        let whole = try await waitUntil(.now + limit, every: .milliseconds(20)) {
            () async throws(LocalClusterError) in
            await self.isWhole()
        }
        guard whole else { throw await failure("The cluster is not whole after \(limit.inSeconds).") }
    }

    private func isWhole() async -> Bool {
        // A former leader may not have noticed yet that it leads no more.
        var leaders: [PatroniMember] = []
        for member in members where await member.leads() { leaders.append(member) }
        guard leaders.count == 1 else { return false }
        let leader = leaders[0]
        for member in members where member !== leader {
            guard await member.answer(to: "/replica") == 200 else { return false }
            let streams = "application_name = '\(member.name)' AND state = 'streaming'"
            guard await has(leader, streams) else { return false }
        }
        guard isSynchronous, members.count > 1 else { return true }
        // PostgreSQL knows a standby before etcd does, and etcd decides who may lead.
        let answer = try? await leader.request("/cluster", within: .seconds(10))
        return answer?.body.contains("\"sync_standby\"") == true
    }

    private func has(_ leader: PatroniMember, _ standby: String) async -> Bool {
        let answer = try? await leader.node.value(of: "SELECT count(*) FROM pg_stat_replication WHERE \(standby)")
        return answer == "1"
    }

    // MARK: - Orders

    /// Makes another member lead, in order (`patronictl switchover`): the leader shuts down, which sends what is left of
    /// the log, the other is promoted, the former leader comes back as its replica. Returns when the new leader takes
    /// writes.
    ///
    /// - Parameters:
    ///   - member: Who is to lead. Default: nil, Patroni chooses.
    ///   - limit: How long it may take. Default: 180 s.
    /// - Returns: The new leader.
    /// - Throws: ``LocalClusterError/Code/commandFailed`` if Patroni refuses, with its reason.
    @discardableResult
    public func switchover(
        to member: PatroniMember? = nil,
        within limit: Duration = .seconds(180)
    ) async throws(LocalClusterError) -> PatroniMember {
        let deadline = ContinuousClock.now + limit
        let former = try await leader(within: limit)
        var order = ["leader": former.name]
        order["candidate"] = member?.name
        try await give("switchover", order, to: former, until: deadline)
        return try await waitForLeader(otherThan: former, within: ContinuousClock.now.duration(to: deadline))
    }

    /// Makes a member lead also where nobody does (`patronictl failover`). Returns when it takes writes.
    ///
    /// - Throws: ``LocalClusterError/Code/commandFailed`` if Patroni refuses, with its reason.
    public func failover(
        to member: PatroniMember,
        within limit: Duration = .seconds(180)
    ) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        try await give("failover", ["candidate": member.name], to: member, until: deadline)
        let leads = try await waitUntil(deadline, every: .milliseconds(20)) { () async throws(LocalClusterError) in
            await member.leads()
        }
        guard leads else { throw await failure("\(member.name) does not lead after \(limit.inSeconds).") }
    }

    /// Makes Patroni only watch from now on (`patronictl pause`): it elects nobody and starts nothing.
    public func pause() async throws(LocalClusterError) {
        try await set(paused: true)
    }

    /// Lets Patroni work again (`patronictl resume`).
    public func resume() async throws(LocalClusterError) {
        try await set(paused: false)
    }

    private func set(paused: Bool) async throws(LocalClusterError) {
        let order = "{\"pause\": \(paused)}"
        let answered = try await waitUntil(.now + .seconds(120), every: .milliseconds(50)) {
            () async throws(LocalClusterError) in
            for member in self.members {
                guard let answer = try? await member.request("/config", method: "PATCH", body: order) else { continue }
                if answer.status == 200 { return true }
            }
            return false
        }
        guard answered else { throw await failure("No Patroni takes an order.") }
        // Each of them learns of it for itself.
        let known = try await waitUntil(.now + .seconds(120), every: .milliseconds(20)) {
            () async throws(LocalClusterError) in
            for member in self.members {
                guard let answer = try? await member.request("/patroni") else { continue }
                if Self.isPaused(answer.body) != paused { return false }
            }
            return true
        }
        guard known else { throw await failure("Not every Patroni knows that it is\(paused ? "" : " not") paused.") }
    }

    private struct Report: Decodable {
        var pause: Bool?
    }

    private static func isPaused(_ report: String) -> Bool {
        (try? JSONDecoder().decode(Report.self, from: Data(report.utf8)))?.pause ?? false
    }

    /// A Patroni that is busy with something else (412, 503) is asked again.
    private func give(
        _ order: String,
        _ fields: [String: String],
        to member: PatroniMember,
        until deadline: ContinuousClock.Instant
    ) async throws(LocalClusterError) {
        let body = "{" + fields.map { "\"\($0)\": \"\($1)\"" }.sorted().joined(separator: ", ") + "}"
        var refusal = "no answer"
        let taken = try await waitUntil(deadline, every: .milliseconds(200)) { () async throws(LocalClusterError) in
            let left = ContinuousClock.now.duration(to: deadline)
            let answer = try await member.request("/\(order)", method: "POST", body: body, within: left)
            refusal = "\(answer.status) \(answer.body)"
            return answer.status == 200
        }
        guard taken else {
            throw LocalClusterError(
                .commandFailed,
                "Patroni refuses the \(order): \(refusal).",
                node: member.name,
                log: logs(lines: 20)
            )
        }
    }

    private func failure(_ message: String) async -> LocalClusterError {
        var said: [String] = []
        for member in members {
            let answer = try? await member.request("/patroni", within: .seconds(10))
            said.append("\(member.name): \(answer.map { "\($0.status) \($0.body)" } ?? "no answer")")
        }
        return LocalClusterError(.timedOut, message, log: said.joined(separator: "\n") + "\n" + logs(lines: 15))
    }
}
