// SPDX-License-Identifier: Apache-2.0

/// Work was run more than once, failed each time, and is given up. Nothing of any run has lasted in the database.
///
/// An error after which nothing is run again reaches the caller as it is, and so does the error of a first and only run.
public struct RetryError: Error, Sendable {
    /// Why there is no further run.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String { case attemptsExhausted, timedOut, cancelled, noConnection }

        private let kind: Kind

        /// ``RetryLimits/attempts`` runs have failed.
        public static let attemptsExhausted = Code(kind: .attemptsExhausted)
        /// ``RetryLimits/timeout`` leaves no time for another run.
        public static let timedOut = Code(kind: .timedOut)
        /// The task was cancelled between two runs.
        public static let cancelled = Code(kind: .cancelled)
        /// There was no connection for another run; ``RetryError/connectionError`` tells why.
        public static let noConnection = Code(kind: .noConnection)

        /// The code as a word.
        public var description: String { kind.rawValue }
    }

    /// Why there is no further run.
    public let code: Code
    /// How many times the work was run.
    public let attempts: Int
    /// How the last run failed.
    public let lastError: any Error
    /// Why there was no connection for another run, if that is the reason.
    public let connectionError: (any Error)?
}

extension RetryError: CustomStringConvertible {
    /// The code, the attempts, and what failed.
    public var description: String {
        let runs = attempts == 1 ? "1 attempt" : "\(attempts) attempts"
        let text = "\(code): given up after \(runs), of which nothing lasted; the last one failed with: \(lastError)"
        return connectionError.map { "\(text). No connection for another: \($0)" } ?? text
    }
}
