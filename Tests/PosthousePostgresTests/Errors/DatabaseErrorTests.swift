// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePostgres

@Suite struct DatabaseErrorTests {
    private func server(_ sqlState: SQLState, phase: DatabaseError.Phase = .waiting) -> DatabaseError {
        var diagnostics = ServerDiagnostics(message: "duplicate key")
        diagnostics.sqlState = sqlState
        diagnostics.detail = "Key (id)=(1) already exists."
        return DatabaseError(diagnostics: diagnostics, host: "db1:5432", phase: phase, outcome: .failed)
    }

    @Test func aDescriptionTellsEverythingOnce() {
        #expect(
            "\(server(.uniqueViolation))"
                == "duplicate key Detail: Key (id)=(1) already exists. "
                + "[server, SQLSTATE 23505, host db1:5432, while waiting, failed]"
        )
    }

    @Test func codesHaveStableSnakeCaseLabels() {
        #expect("\(DatabaseError.Code.leaseExpired)" == "lease_expired")
        #expect("\(DatabaseError.Code.server)" == "server")
        #expect("\(DatabaseError.Phase.authenticating)" == "authenticating")
    }

    @Test func transactionConflictsMaySafelyBeRetried() {
        #expect(server(.serializationFailure).isSafeToRetry)
        #expect(server(.deadlockDetected).isTransient)
        #expect(!server(.uniqueViolation).isSafeToRetry)
        #expect(!server(.uniqueViolation).isTransient)
    }

    @Test func aStatementThatMayHaveRunIsNeverSafeToRetry() {
        for outcome in [DatabaseError.Outcome.mayHaveRun, .commitOutcomeUnknown, .completed] {
            let error = DatabaseError(code: .connectionLost, message: "", host: nil, phase: .waiting, outcome: outcome)
            #expect(error.isTransient && !error.isSafeToRetry)
        }
        #expect(
            DatabaseError(code: .connectionLost, message: "", host: nil, phase: .sending, outcome: .notSent)
                .isSafeToRetry
        )
    }

    @Test func errorsThatCostTheConnectionAreKnown() {
        #expect(server(.adminShutdown).isConnectionFailure)
        #expect(!server(.uniqueViolation).isConnectionFailure)
        #expect(server(.invalidPassword, phase: .authenticating).isConnectionFailure)
        #expect(
            !DatabaseError(code: .connectionBusy, message: "", host: nil, phase: .sending, outcome: .notSent)
                .isConnectionFailure
        )
    }

    @Test func changingACopyLeavesTheOriginalAlone() {
        let original = server(.uniqueViolation)
        var copy = original
        copy.outcome = .mayHaveRun
        #expect(original.outcome == .failed)
        #expect(copy.outcome == .mayHaveRun)
    }
}
