// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import Synchronization
import Testing

/// Remembers what a connection reported.
final class RecordedEvents: ConnectionEvents {
    enum Event: Equatable {
        case inHotStandby(Bool)
        case lost(DatabaseError.Code, DatabaseError.Outcome)
        case shutdown(SQLState)
        case readOnly
        case idleInput
    }

    private let events = Mutex<[Event]>([])

    /// Like a pool that has the connection among its idle ones.
    let processesIdleInput: Bool

    init(processesIdleInput: Bool = false) {
        self.processesIdleInput = processesIdleInput
    }

    var all: [Event] { events.withLock { $0 } }

    func connection(_ connection: DatabaseConnection, changedInHotStandby inHotStandby: Bool) {
        events.withLock { $0.append(.inHotStandby(inHotStandby)) }
    }

    func connection(_ connection: DatabaseConnection, wasLost error: DatabaseError) {
        events.withLock { $0.append(.lost(error.code, error.outcome)) }
    }

    func connection(_ connection: DatabaseConnection, sawShutdown sqlState: SQLState) {
        events.withLock { $0.append(.shutdown(sqlState)) }
    }

    func connectionSawReadOnlyError(_ connection: DatabaseConnection) {
        events.withLock { $0.append(.readOnly) }
    }

    func connectionHasIdleInput(_ connection: DatabaseConnection) {
        events.withLock { $0.append(.idleInput) }
        if processesIdleInput { connection.processIdleInput() }
    }
}

/// Waits until something is true, for so long that only a defect lets it time out; then it records an issue.
func eventually(_ what: String, _ isTrue: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while try await !isTrue() {
        guard ContinuousClock.now < deadline else {
            Issue.record("it never came to pass that \(what)")
            return
        }
        try await Task.sleep(for: .milliseconds(10))
    }
}
