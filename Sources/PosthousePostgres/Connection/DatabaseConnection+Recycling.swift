// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// What a pool does with a session between two users of it. Whoever calls these has the connection to himself.

extension DatabaseConnection {
    /// Finds out by a round trip whether the server answers: an empty statement, which leaves nothing in the session.
    ///
    /// - Parameter deadline: When to give up; nil (the default) waits for ever.
    /// - Throws: ``DatabaseError``. After a deadline, a cancellation or a loss the connection is broken.
    public func ping(deadline: ContinuousClock.Instant? = nil) async throws(DatabaseError) {
        _ = try await runScript(
            "",
            purpose: .ordinary,
            permit: nil,
            deadline: deadline.map { Moment($0) },
            isUse: false
        )
    }

    /// Whether there is something to do before a session that ``isReusable`` goes to somebody else: a method that resets it
    /// was asked for, and a statement ran since it was last recycled. Costs one atomic load.
    package func needsRecycling(by method: RecyclingMethod) -> Bool { method.resets && state.isUsed }

    /// Whether a session that is not ``isReusable`` would be if it were recycled: it is in a transaction, and at rest. Costs
    /// one atomic load.
    package var canBeRecycled: Bool { state.isInTransactionAtRest }

    /// Counts what ran until now, such as what set up the session, as nothing that its first user left behind.
    package func noteRecycled() {
        move { $0.recycled() }
    }

    /// Rolls back an open transaction, and resets the session as the method says.
    ///
    /// - Throws: ``DatabaseError``; the connection is not to be used again then.
    package func recycle(by method: RecyclingMethod, deadline: ContinuousClock.Instant) async throws(DatabaseError) {
        let deadline = Moment(deadline)
        // By itself: some statements (`DISCARD ALL`) do not run beside others.
        if state.isInTransactionAtRest { try await recycle("ROLLBACK", deadline) }
        if needsRecycling(by: method), let script = method.script {
            let answers = try await recycle(script, deadline)
            if method.dropsPreparedStatements, let prepared = answers.last {
                try await deallocate(prepared, deadline)
            }
            try await useISODates(until: deadline)
        }
        noteRecycled()
    }

    /// The statements' names are quoted.
    private func deallocate(_ prepared: Rows, _ deadline: Moment) async throws(DatabaseError) {
        let names = try prepared.decode(String.self)
        guard !names.isEmpty else { return }
        try await recycle(names.map { "DEALLOCATE \($0)" }.joined(separator: ";"), deadline)
    }

    @discardableResult
    private func recycle(_ script: String, _ deadline: Moment) async throws(DatabaseError) -> [Rows] {
        try await runScript(script, purpose: .ordinary, permit: nil, deadline: deadline, isUse: false)
    }

    /// Dates are decoded in ISO style. It is the default and reported, so asking is rarely needed.
    func useISODates(until deadline: Moment) async throws(DatabaseError) {
        guard try parameterStatus("DateStyle")?.hasPrefix("ISO") == false else { return }
        _ = try await runScript(
            "SET DateStyle = ISO",
            purpose: .ordinary,
            permit: nil,
            deadline: deadline,
            isUse: false
        )
    }
}
