// SPDX-License-Identifier: Apache-2.0

import Glibc
import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// Statements that do not end as they should.
@Suite(.timeLimit(.minutes(20))) struct InterruptionTests {
    /// Starts a statement that takes long, and returns when the server is running it.
    private func start(
        _ sql: SQL = "SELECT pg_sleep(60)",
        on connection: DatabaseConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> Task<Rows, any Error> {
        let task = Task<Rows, any Error> { try await connection.query(sql, deadline: deadline) }
        try await untilRunning(connection.backendPID)
        return task
    }

    private func untilRunning(_ pid: Int32) async throws {
        let node = try await TestServer.node
        try await eventually("the statement runs") {
            try await node.value(of: "SELECT count(*) FROM pg_stat_activity WHERE pid = \(pid) AND state = 'active'")
                == "1"
        }
    }

    private func untilGone(_ pid: Int32) async throws {
        let node = try await TestServer.node
        try await eventually("the server process ended") {
            try await node.value(of: "SELECT count(*) FROM pg_stat_activity WHERE pid = \(pid)") == "0"
        }
    }

    private func onServer(_ sql: String) async throws {
        _ = try await TestServer.node.query(sql)
    }

    // MARK: By the task

    @Test func aSecondTaskIsToldThatTheConnectionIsBusy() async throws {
        try await Gate.withGate { gate in
            try await withConnection { connection in
                let task = try await start(gate.waiting, on: connection)
                let error = try await databaseError { try await connection.query("SELECT 1") }
                #expect(error.code == .connectionBusy && error.outcome == .notSent && !error.isConnectionFailure)
                let status = try await databaseError { _ = try connection.parameterStatus("TimeZone") }
                #expect(status.code == .connectionBusy)
                #expect(connection.transactionStatus == .active && !connection.isReusable && !connection.isClosed)
                #expect(connection.processIdleInput(), "its user finds out")
                try await gate.open()
                #expect(try await task.value.count == 1)
                #expect(connection.isReusable)
            }
        }
    }

    @Test func manyTasksOnOneConnectionGetAnAnswerOrAnErrorEach() async throws {
        try await withConnection { connection in
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        do throws(DatabaseError) {
                            return try await connection.query("SELECT \(number)::int").one().decode(Int.self) == number
                        } catch {
                            return error.code == .connectionBusy && error.outcome == .notSent
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.count == 200 && outcomes.allSatisfy { $0 })
            #expect(connection.isReusable)
            _ = try await connection.query("SELECT 1")
        }
    }

    @Test func aCancelledStatementMayHaveRunAndCostsTheConnection() async throws {
        try await withConnection { connection in
            let task = try await start(on: connection)
            task.cancel()
            let error = try await databaseError { try await task.value }
            #expect(error.code == .cancelled && error.outcome == .mayHaveRun && error.phase == .waiting)
            #expect(connection.isClosed && !connection.isReusable)
            let next = try await databaseError { try await connection.query("SELECT 1") }
            #expect(next.code == .connectionClosed && next.outcome == .notSent)
        }
    }

    @Test func aStatementOfACancelledTaskIsNotSent() async throws {
        try await withConnection { connection in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await databaseError { try await connection.query("SELECT 1") }
            }
            let error = try await task.value
            #expect(error.code == .cancelled && error.outcome == .notSent)
            #expect(connection.isReusable)
        }
    }

    @Test func aDeadlineThatPassesCostsTheConnection() async throws {
        try await withConnection { connection in
            let error = try await databaseError {
                try await connection.query("SELECT pg_sleep(60)", deadline: .now + .seconds(5))
            }
            #expect(error.code == .timedOut && error.outcome == .mayHaveRun)
            #expect(connection.isClosed)
        }
    }

    @Test func aDeadlineThatHasPassedBeforeSendsNothing() async throws {
        try await withConnection { connection in
            let error = try await databaseError { try await connection.query("SELECT 1", deadline: .now) }
            #expect(error.code == .timedOut && error.outcome == .notSent && !error.isConnectionFailure)
            #expect(connection.isReusable)
        }
    }

    @Test func aDeadlineThatIsKeptCostsNothing() async throws {
        try await withConnection { connection in
            for _ in 0..<100 { _ = try await connection.query("SELECT 1", deadline: .now + .seconds(300)) }
            #expect(connection.isReusable)
        }
    }

    @Test func cancellationAtAnyMomentLeavesAnAnswerOrABrokenConnection() async throws {
        try await withLoop { loop in
            let parameters = try await TestServer.parameters()
            for round in 0..<80 {
                let connection = try await connect(parameters, loop: loop)
                defer { connection.close() }
                let task = Task { try await connection.query("SELECT generate_series(1, 2000)") }
                for _ in 0..<(round * 3) { await Task.yield() }
                task.cancel()
                do {
                    #expect(try await task.value.count == 2000)
                    #expect(connection.isReusable)
                } catch let error as DatabaseError {
                    #expect(error.code == .cancelled)
                    #expect(connection.isClosed == (error.outcome == .mayHaveRun))
                }
            }
        }
    }

    // MARK: By another thread

    @Test(arguments: [InterruptionReason.fenced, .terminated])
    func anInterruptedStatementFailsWithTheReason(reason: InterruptionReason) async throws {
        let code: DatabaseError.Code = reason == .fenced ? .fenced : .terminated
        try await withConnection { connection in
            let task = try await start(on: connection)
            connection.interrupt(reason)
            connection.interrupt(.terminated)
            let error = try await databaseError { try await task.value }
            #expect(error.code == code && error.outcome == .mayHaveRun)
            let next = try await databaseError { try await connection.query("SELECT 1") }
            #expect(next.code == code && next.outcome == .notSent)
            #expect(connection.isClosed)
        }
    }

    @Test func anInterruptedIdleConnectionSendsNothingMore() async throws {
        try await withConnection { connection in
            connection.interrupt(.fenced)
            let error = try await databaseError { try await connection.query("SELECT 1") }
            #expect(error.code == .fenced && error.outcome == .notSent)
            #expect(connection.isClosed && !connection.isReusable)
            try await untilGone(connection.backendPID)
        }
    }

    @Test func closingEndsARunningStatement() async throws {
        try await withConnection { connection in
            let task = try await start(on: connection)
            connection.close()
            connection.close()
            let error = try await databaseError { try await task.value }
            #expect(error.code == .terminated && error.outcome == .mayHaveRun)
        }
    }

    @Test func interruptingAndClosingAtAnyMomentIsSafe() async throws {
        try await withLoop { loop in
            let parameters = try await TestServer.parameters()
            for round in 0..<60 {
                let connection = try await connect(parameters, loop: loop)
                await withTaskGroup { group in
                    group.addTask {
                        while (try? await connection.query("SELECT 1")) != nil {}
                    }
                    group.addTask {
                        for _ in 0..<(round * 5) { await Task.yield() }
                        if round % 2 == 0 { connection.interrupt(.fenced) }
                        connection.close()
                    }
                    group.addTask {
                        for _ in 0..<(round * 5) { await Task.yield() }
                        connection.interrupt(.terminated)
                        _ = connection.isReusable
                        connection.close()
                    }
                }
                #expect(connection.isClosed)
            }
        }
    }

    @Test func aDroppedConnectionClosesItself() async throws {
        try await withLoop { loop in
            let pid: Int32
            do {
                let connection = try await connect(TestServer.parameters(), loop: loop)
                pid = connection.backendPID
            }
            #expect(loop.statistics.registrations == 0)
            try await untilGone(pid)
        }
    }

    // MARK: By the server

    @Test func aTerminatedSessionIs57P01() async throws {
        let events = RecordedEvents()
        try await withConnection(events: events) { connection in
            let task = try await start(on: connection)
            try await onServer("SELECT pg_terminate_backend(\(connection.backendPID))")
            let error = try await databaseError { try await task.value }
            #expect(error.code == .server && error.sqlState == .adminShutdown && error.outcome == .failed)
            #expect(error.isConnectionFailure && connection.isClosed)
            #expect(events.all == [.shutdown(.adminShutdown)])
        }
    }

    @Test func aSessionThatIsTerminatedWhileIdleIsKnownWithoutTraffic() async throws {
        let events = RecordedEvents(processesIdleInput: true)
        try await withConnection(events: events) { connection in
            #expect(connection.isReusable)
            try await onServer("SELECT pg_terminate_backend(\(connection.backendPID))")
            try await eventually("the loss is noticed") { connection.isClosed }
            #expect(events.all.first == .idleInput)
            #expect(events.all.contains(.shutdown(.adminShutdown)))
            #expect(events.all.contains(.lost(.connectionLost, .notSent)))
            let error = try await databaseError { try await connection.query("SELECT 1") }
            #expect(error.code == .connectionClosed && error.outcome == .notSent)
        }
    }

    @Test func aDeadSessionIsFoundBeforeAStatementIsSent() async throws {
        for asksFirst in [true, false] {
            let events = RecordedEvents()
            try await withConnection(events: events) { connection in
                try await onServer("SELECT pg_terminate_backend(\(connection.backendPID))")
                try await untilGone(connection.backendPID)
                try await eventually("the end arrived") { connection.registration.hasPendingEvent }
                if asksFirst {
                    #expect(!connection.isReusable && connection.isClosed)
                } else {
                    let error = try await databaseError { try await connection.query("SELECT 1") }
                    #expect(error.code == .connectionLost && error.outcome == .notSent && error.isSafeToRetry)
                    #expect(error.sqlState == .adminShutdown)
                }
            }
        }
    }

    @Test func aNoticeToAnIdleSessionDoesNotCostIt() async throws {
        let events = RecordedEvents(processesIdleInput: true)
        try await withConnection(events: events) { connection in
            try await connection.execute("LISTEN idle_news")
            try await onServer("NOTIFY idle_news")
            try await eventually("the notification arrived") { events.all == [.idleInput] }
            #expect(connection.isReusable)
            _ = try await connection.query("SELECT 1")
        }
    }

    @Test func aWriteWhereOnlyReadsAreTakenIsReported() async throws {
        let events = RecordedEvents()
        try await withConnection(events: events) { connection in
            try await connection.execute("BEGIN READ ONLY")
            let error = try await databaseError { try await connection.execute("CREATE TABLE nope (i int)") }
            #expect(error.sqlState == .readOnlySQLTransaction && error.outcome == .failed)
            #expect(events.all == [.readOnly])
            try await connection.execute("ROLLBACK")
        }
    }

    // MARK: COMMIT

    /// A connection to a table whose COMMIT waits for a gate.
    private func withSlowCommit(
        _ body: (DatabaseConnection, _ table: String, Gate) async throws -> Void
    ) async throws {
        try await Gate.withGate { gate in
            try await withConnection { connection in
                let table = "slow_\(connection.backendPID)"
                try await onServer(
                    """
                    CREATE TABLE \(table) (i int);
                    CREATE FUNCTION \(table)_f() RETURNS trigger LANGUAGE plpgsql
                        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(\(gate.key)); RETURN NULL; END';
                    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON \(table) DEFERRABLE INITIALLY DEFERRED
                        FOR EACH ROW EXECUTE FUNCTION \(table)_f();
                    """
                )
                try await body(connection, table, gate)
            }
        }
    }

    private func untilCommitting(_ connection: DatabaseConnection) async throws {
        let node = try await TestServer.node
        try await eventually("COMMIT runs") {
            try await node.value(
                of: "SELECT query FROM pg_stat_activity WHERE pid = \(connection.backendPID) AND state = 'active'"
            ) == "COMMIT"
        }
    }

    @Test(arguments: [false, true])
    func aCommitIsNotCancelled(isWrittenByHand: Bool) async throws {
        try await withSlowCommit { connection, table, gate in
            let task = Task<Void, any Error> {
                if isWrittenByHand {
                    try await connection.execute("BEGIN")
                    try await connection.execute("INSERT INTO \(identifier: table) VALUES (1)")
                    try await connection.execute("COMMIT")
                } else {
                    try await connection.session.withTransaction { tx in
                        try await tx.execute("INSERT INTO \(identifier: table) VALUES (1)")
                    }
                }
            }
            try await untilCommitting(connection)
            task.cancel()
            try await gate.open()
            try await task.value
            #expect(try await TestServer.node.value(of: "SELECT count(*) FROM \(table)") == "1")
            #expect(connection.isReusable)
        }
    }

    @Test func aCommitWhoseAnswerIsLostHasAnUnknownOutcome() async throws {
        for how in ["deadline", "termination", "fence"] {
            try await withSlowCommit { connection, table, _ in
                try await connection.execute("BEGIN")
                try await connection.execute("INSERT INTO \(identifier: table) VALUES (1)")
                let task = Task {
                    // Long enough to be sent in time on any machine.
                    let deadline: ContinuousClock.Instant? = how == "deadline" ? .now + .seconds(5) : nil
                    return try await databaseError { try await connection.execute("COMMIT", deadline: deadline) }
                }
                switch how {
                case "fence":
                    try await untilCommitting(connection)
                    connection.interrupt(.fenced)
                case "termination":
                    try await untilCommitting(connection)
                    try await onServer("SELECT pg_terminate_backend(\(connection.backendPID))")
                default: break
                }
                let error = try await task.value
                #expect(error.outcome == .commitOutcomeUnknown, "\(how): \(error)")
                #expect(!error.isSafeToRetry && connection.isClosed)
            }
        }
    }
}
