// SPDX-License-Identifier: Apache-2.0

extension DatabaseError {
    /// What kind of failure it was. A struct, so that new kinds do not break a `switch` with a `default`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case addressNotFound, connectionRefused, hostUnreachable, tlsFailed, authenticationFailed
            case invalidParameters, localFailure, protocolViolation, unsuitableServer
            case connectionLost, connectionClosed, connectionBusy
            case timedOut, cancelled, terminated, fenced, leaseExpired, transactionEnded
            case server
            case invalidStatement, unsupportedStatement, commitRolledBack
            case columnNotFound, decodingFailed, unexpectedRowCount
        }

        private let kind: Kind

        private init(_ kind: Kind) {
            self.kind = kind
        }

        /// The name of the code, in snake case: a stable label for logs and metrics.
        public var description: String {
            var label = ""
            for character in kind.rawValue {
                if character.isUppercase {
                    label += "_" + character.lowercased()
                } else {
                    label.append(character)
                }
            }
            return label
        }

        /// No address is known for the host name: DNS said no, or did not answer and no earlier answer is kept.
        public static let addressNotFound = Code(.addressNotFound)
        /// Nothing listens there: the connection was refused, or the Unix socket does not exist.
        public static let connectionRefused = Code(.connectionRefused)
        /// No route to the host, or the network is down.
        public static let hostUnreachable = Code(.hostUnreachable)
        /// TLS could not be set up: the server has none, or its certificate does not pass.
        public static let tlsFailed = Code(.tlsFailed)
        /// Login failed on this side: no password to give, an authentication method that is refused here, or a server
        /// that could not prove itself. A login that the *server* refused is ``server`` with class 28.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// libpq refused the connection parameters before it opened a socket.
        public static let invalidParameters = Code(.invalidParameters)
        /// This process or machine ran out of something: file descriptors, memory, threads, local ports.
        /// It says nothing about the server.
        public static let localFailure = Code(.localFailure)
        /// What answered does not speak PostgreSQL, or stopped making sense.
        public static let protocolViolation = Code(.protocolViolation)
        /// The server answered and is not what `target_session_attrs` asks for.
        public static let unsuitableServer = Code(.unsuitableServer)
        /// The connection broke: closed by the other side, reset, or timed out in the kernel.
        public static let connectionLost = Code(.connectionLost)
        /// The connection had been closed, or had broken, before this call.
        public static let connectionClosed = Code(.connectionClosed)
        /// Another task is using the connection at this moment.
        public static let connectionBusy = Code(.connectionBusy)
        /// The deadline passed.
        public static let timedOut = Code(.timedOut)
        /// The task was cancelled.
        public static let cancelled = Code(.cancelled)
        /// The pool or the cluster was terminated while the connection was in use.
        public static let terminated = Code(.terminated)
        /// The host was fenced: it must not receive statements any more.
        public static let fenced = Code(.fenced)
        /// The handle outlived the scope that lent it.
        public static let leaseExpired = Code(.leaseExpired)
        /// The transaction that the handle belongs to is over.
        public static let transactionEnded = Code(.transactionEnded)
        /// The server reported an error; ``DatabaseError/sqlState`` says which.
        public static let server = Code(.server)
        /// The statement cannot be sent: a NUL character, or more than 65,535 parameters.
        public static let invalidStatement = Code(.invalidStatement)
        /// The statement starts a COPY, which an ordinary query cannot serve.
        public static let unsupportedStatement = Code(.unsupportedStatement)
        /// COMMIT was answered with ROLLBACK: the transaction had failed earlier, and nothing was committed.
        public static let commitRolledBack = Code(.commitRolledBack)
        /// The result has no such column.
        public static let columnNotFound = Code(.columnNotFound)
        /// A value of the result does not fit the Swift type.
        public static let decodingFailed = Code(.decodingFailed)
        /// The result has more or fewer rows than the call is for.
        public static let unexpectedRowCount = Code(.unexpectedRowCount)
    }

    /// What the driver was doing.
    public struct Phase: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case resolving, connecting, authenticating, validating, sending, waiting, decoding, closing
        }

        private let kind: Kind

        private init(_ kind: Kind) {
            self.kind = kind
        }

        /// The name of the phase: a stable label for logs and metrics.
        public var description: String { kind.rawValue }

        /// Looking up the host name.
        public static let resolving = Phase(.resolving)
        /// Opening the socket and setting up TLS.
        public static let connecting = Phase(.connecting)
        /// Logging in.
        public static let authenticating = Phase(.authenticating)
        /// Looking at a connection before it is used.
        public static let validating = Phase(.validating)
        /// Before the statement was handed to the kernel.
        public static let sending = Phase(.sending)
        /// Waiting for the answer to a statement.
        public static let waiting = Phase(.waiting)
        /// Turning the answer into Swift values.
        public static let decoding = Phase(.decoding)
        /// Closing the connection.
        public static let closing = Phase(.closing)
    }

    /// What is known about the statement's fate.
    public struct Outcome: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case notSent = "not sent"
            case mayHaveRun = "may have run"
            case failed
            case completed
            case commitOutcomeUnknown = "commit outcome unknown"
        }

        private let kind: Kind

        private init(_ kind: Kind) {
            self.kind = kind
        }

        /// The outcome in words.
        public var description: String { kind.rawValue }

        /// The statement was not sent: sending it again is safe.
        public static let notSent = Outcome(.notSent)
        /// The statement was sent and its answer was not seen: it may have run, or may run still.
        public static let mayHaveRun = Outcome(.mayHaveRun)
        /// The statement failed and its effects are undone, or will be: the server said so, or it was lost in a transaction
        /// whose COMMIT was not sent.
        public static let failed = Outcome(.failed)
        /// The statement ran; the failure came after it, on this side.
        public static let completed = Outcome(.completed)
        /// COMMIT was sent and its answer was not seen: the whole transaction is committed, or none of it.
        public static let commitOutcomeUnknown = Outcome(.commitOutcomeUnknown)
    }
}
