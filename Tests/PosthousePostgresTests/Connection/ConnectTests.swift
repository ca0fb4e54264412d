// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

@Suite(.timeLimit(.minutes(20))) struct ConnectTests {
    /// The error of connecting with these parameters, with nothing left behind.
    private func failure(
        _ parameters: ConnectionParameters,
        within limit: Duration = .seconds(60)
    ) async throws -> DatabaseError {
        let error = try await withLoop { loop in
            try await databaseError { try await connect(parameters, loop: loop, within: limit).close() }
        }
        #expect(error.outcome == .notSent)
        for text in ["\(error)", String(reflecting: error), "\(error as any Error)"] {
            #expect(!text.contains(TestServer.password))
        }
        var dumped = ""
        dump(error, to: &dumped)
        #expect(!dumped.contains(TestServer.password))
        return error
    }

    private func listener(_ behaviour: TestListener.Behaviour, _ more: String = "sslmode=disable") throws
        -> (TestListener, ConnectionParameters)
    {
        let listener = try TestListener(behaviour)
        let parameters = try ConnectionParameters(
            "postgresql://carol:\(TestServer.password)@127.0.0.1:\(listener.port)/db?\(more)"
        )
        return (listener, parameters)
    }

    // MARK: What works

    @Test func aSessionIsSetUpAsTheDriverNeedsIt() async throws {
        try await withConnection(options: SessionOptions(timeZone: "UTC")) { connection in
            #expect(try connection.parameterStatus("client_encoding") == "UTF8")
            #expect(try connection.parameterStatus("application_name") == "posthouse")
            #expect(try connection.parameterStatus("TimeZone") == "UTC")
            #expect(try connection.parameterStatus("no_such_parameter") == nil)
            #expect(try connection.parameterStatus("DateStyle")?.hasPrefix("ISO") == true)
            #expect(connection.serverVersion >= 120_000)
            #expect(connection.inHotStandby == false)
            let pid = try await connection.query("SELECT pg_backend_pid()").one().decode(Int32.self)
            #expect(connection.backendPID == pid)
        }
    }

    @Test func whatTheConnectionStringSaysWins() async throws {
        let parameters = try await TestServer.parameters([
            "application_name": "mine", "options": "-c geqo=off", "client_encoding": "LATIN1",
        ])
        try await withLoop { loop in
            let connection = try await connect(
                parameters,
                options: SessionOptions(timeZone: "Asia/Kolkata"),
                loop: loop
            )
            defer { connection.close() }
            #expect(try connection.parameterStatus("application_name") == "mine")
            #expect(try connection.parameterStatus("TimeZone") == "Asia/Kolkata")
            #expect(try await connection.query("SHOW geqo").one().decode(String.self) == "off")
            #expect(try connection.parameterStatus("client_encoding") == "UTF8")
        }
    }

    @Test func datesAreISOWhateverTheServersDefaultIs() async throws {
        let parameters = try await TestServer.parameters(["options": "-c DateStyle=German"])
        try await withLoop { loop in
            let connection = try await connect(parameters, loop: loop)
            defer { connection.close() }
            let text = try await connection.query("SELECT DATE '2024-02-29'").one().decode(String.self)
            #expect(text == "2024-02-29")
        }
    }

    @Test func scramAndPlainPasswordsLogIn() async throws {
        for user in ["alice", "bob"] {
            let parameters = try await TestServer.parameters(user: user, password: TestServer.password)
            try await withLoop { loop in
                let connection = try await connect(parameters, loop: loop)
                defer { connection.close() }
                #expect(try await connection.query("SELECT current_user").one().decode(String.self) == user)
            }
        }
    }

    @Test func aUnixSocketWorksToo() async throws {
        let node = try await TestServer.node
        guard let directory = node.socketDirectory else { return }
        let parameters = try ConnectionParameters("host=\(directory) port=\(node.port) user=postgres dbname=postgres")
        try await withLoop { loop in
            let connection = try await connect(parameters, loop: loop)
            defer { connection.close() }
            #expect(try await connection.query("SELECT inet_client_addr() IS NULL").one().decode(Bool.self))
        }
    }

    /// Connects to a name that has these addresses.
    private func connectByName(
        to addresses: [String],
        port: Int,
        loop: EventLoop,
        within limit: Duration
    ) async throws -> DatabaseConnection {
        let parameters = try ConnectionParameters("postgresql://postgres@db.test:\(port)/postgres?sslmode=disable")
        return try await DatabaseConnection.connect(
            to: parameters.hosts[0],
            parameters: parameters,
            options: SessionOptions(),
            loop: loop,
            deadline: .now + limit,
            events: nil,
            resolver: Resolver { _ in .success(addresses) }
        )
    }

    @Test func anotherAddressOfTheNameIsTried() async throws {
        let node = try await TestServer.node
        let closing = try TestListener(.close, address: "127.0.0.2", port: node.port)
        defer { closing.stop() }
        try await withLoop { loop in
            let addresses = ["127.0.0.2", "127.0.0.1"]
            let connection = try await connectByName(to: addresses, port: node.port, loop: loop, within: .seconds(60))
            defer { connection.close() }
            #expect(try await connection.query("SELECT 1").one().decode(Int.self) == 1)
        }
    }

    @Test func everyAddressHasItsShareOfTheTime() async throws {
        let silent = try TestListener(.silent)
        defer { silent.stop() }
        try await withLoop { loop in
            let addresses = ["127.0.0.1", "127.0.0.1", "127.0.0.1"]
            let error = try await databaseError {
                try await connectByName(to: addresses, port: silent.port, loop: loop, within: .seconds(3))
            }
            #expect(error.attempts.map(\.code) == [.timedOut, .timedOut, .timedOut])
        }
    }

    @Test func everyAddressThatFailedIsInTheError() async throws {
        let closing = try TestListener(.close, address: "127.0.0.2")
        defer { closing.stop() }
        try await withLoop { loop in
            let addresses = ["127.0.0.2", "127.0.0.3"]
            let error = try await databaseError {
                try await connectByName(to: addresses, port: closing.port, loop: loop, within: .seconds(60))
            }
            #expect(error.attempts.map(\.code) == [.connectionLost, .connectionRefused])
            #expect(error.code == .connectionRefused)
            #expect("\(error)".contains("127.0.0.2") && "\(error)".contains("127.0.0.3"))
        }
    }

    // MARK: What the server refuses

    @Test func aWrongPasswordIs28P01() async throws {
        let error = try await failure(TestServer.parameters(user: "alice", password: "wrong-" + TestServer.password))
        #expect(error.code == .server && error.sqlState == .invalidPassword && error.phase == .authenticating)
        #expect(!error.isTransient)
        #expect(error.host?.contains("127.0.0.1") == true || error.host?.contains("localhost") == true)
    }

    @Test func aMissingDatabaseIs3D000() async throws {
        let error = try await failure(TestServer.parameters(database: "nowhere", password: TestServer.password))
        #expect(error.sqlState == .invalidCatalogName)
        #expect(error.message.contains("nowhere"))
    }

    @Test func aRejectedRoleIs28000() async throws {
        let error = try await failure(TestServer.parameters(user: "nobody", password: TestServer.password))
        #expect(error.sqlState == .invalidAuthorization)
    }

    @Test func noPasswordToGiveIsATypedError() async throws {
        let error = try await failure(TestServer.parameters(user: "alice"))
        #expect(error.code == .authenticationFailed)
    }

    @Test func tlsThatTheServerDoesNotHaveIsATypedError() async throws {
        let error = try await failure(TestServer.parameters(["sslmode": "require"]))
        #expect(error.code == .tlsFailed && error.phase == .connecting)
    }

    // MARK: What is no server

    @Test func nobodyListeningIsRefused() async throws {
        let gone = try TestListener(.close)
        gone.stop()
        let error = try await failure(ConnectionParameters("postgresql://u@127.0.0.1:\(gone.port)/db"))
        #expect(error.code == .connectionRefused && error.phase == .connecting)
    }

    @Test func aMissingUnixSocketIsRefused() async throws {
        let error = try await failure(ConnectionParameters("host=/nonexistent port=5432 user=u dbname=d"))
        #expect(error.code == .connectionRefused && error.phase == .connecting)
    }

    @Test func anUnknownHostHasNoAddress() async throws {
        let error = try await failure(ConnectionParameters("postgresql://u@does-not-exist.invalid/db"))
        #expect(error.code == .addressNotFound && error.phase == .resolving)
    }

    @Test(arguments: ["sslmode=disable", "sslmode=prefer"])
    func aServerThatSaysNothingTimesOut(mode: String) async throws {
        let (silent, parameters) = try listener(.silent, mode)
        defer { silent.stop() }
        let error = try await failure(parameters, within: .seconds(2))
        #expect(error.code == .timedOut)
        #expect(error.phase == (mode == "sslmode=disable" ? .authenticating : .connecting))
    }

    @Test func aNetworkThatSwallowsPacketsTimesOut() async throws {
        let (hole, parameters) = try listener(.blackHole)
        defer { hole.stop() }
        let error = try await failure(parameters, within: .milliseconds(200))
        #expect(error.code == .timedOut && error.phase == .connecting)
    }

    @Test(arguments: ["sslmode=disable", "sslmode=prefer"])
    func garbageIsAProtocolViolation(mode: String) async throws {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}", "RRRRRRRRRRRR"] {
            let (garbage, parameters) = try listener(.answer(Array(answer.utf8)), mode)
            defer { garbage.stop() }
            let error = try await failure(parameters)
            // "R" is what an authentication request begins with; libpq finds out that it is none.
            let expected: Set<DatabaseError.Code> =
                answer.hasPrefix("R") && mode == "sslmode=disable"
                ? [.protocolViolation, .authenticationFailed] : [.protocolViolation]
            #expect(expected.contains(error.code), "\(error)")
        }
    }

    @Test(arguments: ["sslmode=disable", "sslmode=prefer"])
    func aServerThatClosesOrResetsIsALostConnection(mode: String) async throws {
        for behaviour in [TestListener.Behaviour.close, .reset, .answerAndClose([])] {
            let (closing, parameters) = try listener(behaviour, mode)
            defer { closing.stop() }
            let error = try await failure(parameters)
            #expect(error.code == .connectionLost, "\(behaviour): \(error)")
        }
    }

    @Test func aServerThatStartsSaysSo() async throws {
        let message = serverError("FATAL", "57P03", "the database system is starting up")
        let (starting, parameters) = try listener(.answerAndClose(message))
        defer { starting.stop() }
        let error = try await failure(parameters)
        #expect(error.code == .server && error.sqlState == .cannotConnectNow && error.isTransient)
        #expect(error.message == "the database system is starting up")
    }

    // MARK: Cancellation

    @Test(arguments: ["silent", "silent with TLS", "black hole"])
    func aCancelledConnectEndsAtOnce(what: String) async throws {
        let (server, parameters) =
            switch what {
            case "silent": try listener(.silent)
            case "silent with TLS": try listener(.silent, "sslmode=prefer")
            default: try listener(.blackHole)
            }
        defer { server.stop() }
        try await withLoop { loop in
            let task = Task { try await connect(parameters, loop: loop) }
            while loop.statistics.waitingContinuations == 0 { await Task.yield() }
            task.cancel()
            let error = try await databaseError { try await task.value.close() }
            #expect(error.code == .cancelled && error.outcome == .notSent)
        }
    }

    @Test func cancellationAtAnyMomentOfALoginLeavesNothingBehind() async throws {
        let parameters = try await TestServer.parameters(user: "alice", password: TestServer.password)
        try await withLoop { loop in
            var outcomes: [Bool: Int] = [:]
            for delay in 0..<60 {
                let task = Task { try await connect(parameters, loop: loop) }
                for _ in 0..<(delay * delay) { await Task.yield() }
                task.cancel()
                do {
                    try await task.value.close()
                    outcomes[true, default: 0] += 1
                } catch {
                    #expect((error as? DatabaseError)?.code == .cancelled)
                    outcomes[false, default: 0] += 1
                }
            }
            #expect(outcomes[false, default: 0] > 0)
        }
    }
}
