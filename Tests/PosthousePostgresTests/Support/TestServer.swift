// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import PosthouseReactor
import PosthouseTestKit
import Testing

/// One server for all tests that do not harm it; its watchdog removes it when the test process ends.
enum TestServer {
    static let password = "s3cr3t-Pässwörd"

    private static let cluster = Task {
        try await LocalCluster.start(
            LocalCluster.Configuration(
                // Statements that were broken off go on for a while without their client.
                settings: ["max_connections": "300", "client_connection_check_interval": "100ms"],
                hostBasedAuthentication: [
                    "host all alice 127.0.0.1/32 scram-sha-256",
                    "host all bob 127.0.0.1/32 password",
                    "host all nobody 127.0.0.1/32 reject",
                ],
                setUp: [
                    "CREATE ROLE alice LOGIN PASSWORD '\(password)'",
                    "CREATE ROLE bob LOGIN PASSWORD '\(password)'",
                    "CREATE ROLE nobody LOGIN",
                ]
            )
        )
    }

    static var node: LocalNode {
        get async throws { try await cluster.value.primary }
    }

    static func parameters(
        user: String = "postgres",
        database: String = "postgres",
        password: String? = nil,
        _ more: [String: String] = [:]
    ) async throws -> ConnectionParameters {
        try ConnectionParameters(
            await node.dsn(user: user, database: database, password: password, parameters: more),
            environment: ConnectionEnvironment(userName: "postgres")
        )
    }
}

/// An event loop for one test, and connections on it; checks at the end that nothing of them is left.
func withLoop<Result>(_ body: (EventLoop) async throws -> Result) async throws -> Result {
    let loop = try EventLoop(name: "test")
    do {
        let result = try await body(loop)
        let statistics = loop.statistics
        #expect(statistics.registrations == 0, "registrations are left over")
        #expect(statistics.waitingContinuations == 0)
        #expect(statistics.pendingTimers == 0)
        await loop.shutdown()
        return result
    } catch {
        await loop.shutdown()
        throw error
    }
}

/// A connection to the shared server for the time of `body`.
func withConnection<Result>(
    options: SessionOptions = SessionOptions(),
    events: (any ConnectionEvents)? = nil,
    _ body: (DatabaseConnection) async throws -> Result
) async throws -> Result {
    try await withLoop { loop in
        let connection = try await connect(TestServer.parameters(), options: options, loop: loop, events: events)
        defer { connection.close() }
        return try await body(connection)
    }
}

/// Connects to the first host.
func connect(
    _ parameters: ConnectionParameters,
    options: SessionOptions = SessionOptions(),
    loop: EventLoop,
    within limit: Duration = .seconds(60),
    events: (any ConnectionEvents)? = nil
) async throws(DatabaseError) -> DatabaseConnection {
    try await DatabaseConnection.connect(
        to: parameters.hosts[0],
        parameters: parameters,
        options: options,
        loop: loop,
        deadline: .now + limit,
        events: events
    )
}

/// The error that `body` throws; records an issue if it throws none.
func databaseError<Result>(_ body: () async throws -> Result) async throws -> DatabaseError {
    try #require(await #expect(throws: DatabaseError.self) { _ = try await body() })
}

extension DatabaseConnection {
    /// A session without a permit.
    var session: DatabaseSession { DatabaseSession(connection: self, permit: nil) }
}
