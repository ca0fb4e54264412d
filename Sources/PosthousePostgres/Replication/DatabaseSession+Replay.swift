// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension DatabaseSession {
    /// Waits until this replica has replayed its primary's log up to a position.
    ///
    /// The position has to be of the log that the replica follows: a number says nothing of its timeline. A time-out is not
    /// an error, and the connection stays usable; only a server that does not answer at all, for a quarter of a second
    /// longer, costs it.
    ///
    /// - Parameters:
    ///   - lsn: What is to be replayed, as ``LogPosition/lsn``.
    ///   - timeout: The most to wait; asks at least once.
    /// - Throws: ``DatabaseError``; ``DatabaseError/Code/cancelled`` if the task is.
    package func waitForReplay(of lsn: UInt64, timeout: Duration) async throws(DatabaseError) -> ReplayWait {
        let end = Moment.now + max(timeout, .zero)
        var pause = Self.firstPause
        while true {
            let left = max(.zero, end - .now)
            switch ReplayStatement(serverVersion: connection.serverVersion, lsn: lsn, atMost: left) {
            case .wait(let statement):
                return try await serverWait(statement, atMost: left + Self.patience)
            case .poll(let question):
                let row = try await queryOne(question, timeout: left + Self.patience)
                let (isInRecovery, replayed) = try row.decode((Bool, Int64?).self)
                guard isInRecovery else { return .notInRecovery }
                if let replayed, UInt64(clamping: replayed) >= lsn { return .reached }
            }
            let rest = end - .now
            guard rest > .zero else { return .timedOut }
            // A cancelled sleep returns at once, and the next statement is refused.
            try? await Task.sleep(for: min(pause, rest))
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private func serverWait(_ statement: String, atMost time: Duration) async throws(DatabaseError) -> ReplayWait {
        let rows = try await executeScript(statement, timeout: time).first
        guard let status = try rows?.one().decode(String.self), let wait = ReplayWait(status: status) else {
            throw DatabaseError(
                code: .protocolViolation,
                message: "The server answered WAIT FOR LSN with something that is not known.",
                host: host,
                phase: .decoding,
                outcome: .completed
            )
        }
        return wait
    }

    /// A replica next door is a millisecond behind; one that lags is not hurried by questions.
    private static let firstPause = Duration.milliseconds(1)
    private static let longestPause = Duration.milliseconds(20)
    private static let patience = Duration.milliseconds(250)
}
