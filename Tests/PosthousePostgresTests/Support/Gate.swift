// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import PosthouseReactor

/// Something in the shared server that statements wait for until the test opens it: an advisory lock.
struct Gate {
    private let holder: DatabaseConnection

    /// For the lock functions; unique while the holder is connected.
    var key: Int32 { holder.backendPID }

    /// Waits until the gate is open.
    var waiting: SQL { "SELECT pg_advisory_xact_lock_shared(\(raw: "\(key)"))" }

    /// A closed gate for the time of `body`.
    static func withGate<Result>(_ body: (Gate) async throws -> Result) async throws -> Result {
        try await withConnection { holder in
            let gate = Gate(holder: holder)
            try await holder.execute("SELECT pg_advisory_lock(\(raw: "\(gate.key)"))")
            return try await body(gate)
        }
    }

    func open() async throws {
        try await holder.execute("SELECT pg_advisory_unlock_all()")
    }
}
