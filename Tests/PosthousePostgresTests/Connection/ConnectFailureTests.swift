// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Glibc
import Testing

@testable import PosthousePostgres

/// The classification, from facts alone.
@Suite struct ConnectFailureTests {
    private func failure(_ change: (inout ConnectFailure) -> Void) -> DatabaseError {
        var failure = ConnectFailure(host: "db1:5432")
        change(&failure)
        return failure.error
    }

    @Test(arguments: [
        "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password authentication failed\nLOCATION:  auth_failed, auth.c:335\n",
        "FATAL:  28P01: password authentication failed\nLOCATION:  auth_failed, auth.c:335",
        "connexion au serveur sur « db », port 5432 a échoué : FATAL:  28P01: password authentication failed\n",
        "FATALE : 28P01: password authentication failed",
        "ПОМИЛКА:  28P01: password authentication failed\n",
    ])
    func theSQLStateIsFoundInAnyLanguage(text: String) {
        #expect(ServerReport(text)?.sqlState == .invalidPassword)
        #expect(ServerReport(text)?.message == "password authentication failed")
    }

    @Test(arguments: [
        "", "FATAL: x", "connection to server at \"2001:DB8::1\", port 54321 failed: Connection refused",
        "ERROR: PANIC: FATAL: x",
        "could not translate host name \"12345: \" to address", "timeout: 1234: x", "abcde: f",
    ])
    func whatIsNoSQLStateIsNotTakenForOne(text: String) {
        #expect(ServerReport(text) == nil)
    }

    @Test func detailAndHintStayAndThePlaceInTheSourceGoes() {
        let report = ServerReport(
            "FATAL:  57P03: the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.\n"
                + "LOCATION:  ProcessStartupPacket, postmaster.c:2388\n"
        )
        #expect(
            report?.message
                == "the database system is not accepting connections DETAIL:  Hot standby mode is disabled."
        )
    }

    @Test func theServersReportWinsOverEverything() {
        let error = failure {
            $0.message = "FATAL:  53300: sorry, too many clients already"
            $0.input = .end
            $0.status = CONNECTION_AWAITING_RESPONSE
        }
        #expect(error.code == .server && error.sqlState == .tooManyConnections && error.phase == .authenticating)
        #expect(error.isTransient && error.isSafeToRetry && error.outcome == .notSent)
    }

    @Test(arguments: [
        (ECONNREFUSED, DatabaseError.Code.connectionRefused), (EHOSTUNREACH, .hostUnreachable),
        (EHOSTUNREACH, .hostUnreachable), (ENETUNREACH, .localFailure), (ETIMEDOUT, .timedOut),
        (ECONNRESET, .connectionLost), (EMFILE, .localFailure),
        (EADDRNOTAVAIL, .localFailure), (ENOENT, .connectionRefused),
    ])
    func systemErrorsAreKnownByNumberAndByTheSystemsOwnText(number: Int32, code: DatabaseError.Code) {
        #expect(failure { $0.connectError = number }.code == code)
        #expect(failure { $0.input = .failure(errno: number) }.code == code)
        let text = "could not connect: \(String(cString: strerror(number)))"
        #expect(failure { $0.message = text }.code == code)
    }

    @Test func aServerThatClosesDuringTheLoginIsALostConnection() {
        let error = failure {
            $0.status = CONNECTION_AWAITING_RESPONSE
            $0.input = .end
        }
        #expect(error.code == .connectionLost && error.phase == .authenticating)
    }

    @Test func answersToTheTLSRequestTellTLSFromGarbage() {
        for (byte, code) in [("S", DatabaseError.Code.tlsFailed), ("N", .tlsFailed), ("H", .protocolViolation)] {
            let error = failure {
                $0.status = CONNECTION_SSL_STARTUP
                $0.input = .byte(byte.utf8.first ?? 0)
            }
            #expect(error.code == code && error.phase == .connecting)
        }
    }

    @Test func loginFailuresOfThisSideAreToldFromGarbage() {
        for (byte, code) in [("R", DatabaseError.Code.authenticationFailed), ("H", .protocolViolation), ("E", .server)]
        {
            let error = failure {
                $0.status = CONNECTION_AWAITING_RESPONSE
                $0.input = .byte(byte.utf8.first ?? 0)
            }
            #expect(error.code == code && error.phase == .authenticating)
        }
        #expect(
            failure {
                $0.status = CONNECTION_AUTH_OK; $0.needsPassword = true
            }.code == .authenticationFailed
        )
    }

    @Test func parametersThatLibpqRefusesAreKnown() {
        #expect(
            failure {
                $0.hadSocket = false; $0.message = "invalid sslmode value"
            }.code == .invalidParameters
        )
    }
}
