// SPDX-License-Identifier: Apache-2.0
import Posthouse
import PosthouseTestKit

/// The demo's plot: a cluster, an application that writes, a crash, a promotion, and the return of the old primary.
struct DemoStory: Sendable {
    let json: Bool

    private let clients = 4

    func run() async throws {
        let start = ContinuousClock.now
        say("Booting a primary and two streaming replicas from the PostgreSQL installed here ...")
        try await LocalCluster.withCluster(LocalCluster.Configuration(replicas: 2)) { servers in
            for node in servers.nodes {
                say(
                    "  \(node.name) on 127.0.0.1:\(node.port), \(node === servers.primary ? "the primary" : "a replica")"
                )
            }
            say("up after \(start.duration(to: .now).milliseconds) ms.", event: ["event": "booted"])
            let outcome = try await play(on: servers)
            tell(outcome)
            guard outcome.holds else { throw DemoFailure(outcome: outcome) }
        }
    }

    // MARK: - The plot

    private func play(on servers: LocalCluster) async throws -> DemoOutcome {
        let old = servers.primary
        let heir = servers.replicas[0]
        var configuration = ClusterConfiguration()
        configuration.acquireTimeout = .seconds(60)
        let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
        defer { cluster.terminate() }
        try await cluster.write { db in
            _ = try await db.execute(
                "CREATE TABLE orders (client int, number int, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (client, number))"
            )
        }
        try await cluster.ready()
        let watching = narrate(cluster)
        defer { watching.cancel() }

        let ledger = DemoLedger(clients: clients)
        let end = StopSignal()
        let load = LoadRun(clients: clients, duration: .seconds(60), executors: [])
        async let running = load.run(until: end, code: label, outage: { _ in }) { client in
            let began = ContinuousClock.now
            let number = ledger.next(client)
            try await cluster.write { db in
                _ = try await db.execute("INSERT INTO orders (client, number) VALUES (\(client), \(number))")
            }
            ledger.acknowledge(client, number, began: began)
        }
        defer { end.set() }
        say("\nAn application with \(clients) tasks writes orders to the primary, one after the other.")
        try await Task.sleep(for: .seconds(2))

        let reference = try await WarmReference(heir)
        say("kill -9 \(old.name), all its processes.", event: ["event": "killed", "node": .string(old.name)])
        try await old.kill()
        let crashed = ContinuousClock.now
        ledger.crashed(at: crashed)
        let delay = Duration.milliseconds(Int.random(in: 300...900))
        say(
            "\(heir.name) will be promoted \(delay.milliseconds) ms later, as a failover manager would. Until then, writes wait."
        )
        try await Task.sleep(for: delay)
        async let writable = reference.firstWrite()
        try await heir.promote(waiting: false)
        let promoted = try await writable
        let resumed = try await ledger.resumed()
        let gap = max(.zero, promoted.duration(to: resumed))
        say(
            "\(heir.name) could take a write \(crashed.duration(to: promoted).milliseconds) ms after the crash; "
                + "the application's next write succeeded \(gap.milliseconds) ms after that.",
            event: ["event": "resumed", "promotion_to_first_write_ms": .milliseconds(gap)]
        )

        try await Task.sleep(for: .seconds(1))
        say("\nThe old primary comes back as it was, and still believes that it is the primary.")
        let returned = try await restartAsItWas(old)
        try await waitForQuarantine(of: old, in: cluster)
        try await Task.sleep(for: .seconds(1))
        end.set()
        let summary = await running
        let snapshot = cluster.snapshot()
        return DemoOutcome(
            promotionToFirstWrite: gap,
            outage: crashed.duration(to: resumed),
            summary: summary,
            staleStatements: try await count("SELECT count(*) FROM orders WHERE at >= '\(returned)'", on: old),
            lost: try await ledger.missing(on: cluster),
            stalePrimary: snapshot.hosts.first { $0.host.hasSuffix(":\(old.port)") }?.reason
        )
    }

    /// - Returns: The server's own time when it was ready.
    private func restartAsItWas(_ node: LocalNode) async throws -> String {
        try await node.start()
        return try await node.value(of: "SELECT clock_timestamp()") ?? ""
    }

    private func waitForQuarantine(of node: LocalNode, in cluster: PostgresCluster) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let host = cluster.snapshot().hosts.first { $0.host.hasSuffix(":\(node.port)") }
            if host?.state == .quarantined { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func count(_ sql: String, on node: LocalNode) async throws -> Int {
        Int(try await node.value(of: sql) ?? "") ?? -1
    }

    // MARK: - Telling it

    private func narrate(_ cluster: PostgresCluster) -> Task<Void, Never> {
        let report = LoadReport(json: json)
        let events = cluster.events
        return Task {
            for await event in events { report.tell(event) }
        }
    }

    private func say(_ line: String, event: [String: JSONValue]? = nil) {
        if json {
            if let event { Console.output(JSONValue.document(event)) }
        } else {
            Console.output(line)
        }
    }

    private func tell(_ outcome: DemoOutcome) {
        if json {
            Console.output(outcome.json)
        } else {
            Console.output(outcome.text)
        }
    }
}

/// The demo ran, and what it shows is not what it promises.
struct DemoFailure: Error, CustomStringConvertible {
    let outcome: DemoOutcome

    var description: String {
        "the promise was not kept: first write \(outcome.promotionToFirstWrite.milliseconds) ms after the promotion, "
            + "\(outcome.staleStatements) statements on the stale primary"
    }
}
