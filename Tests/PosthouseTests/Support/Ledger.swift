// SPDX-License-Identifier: Apache-2.0

import Posthouse
import Synchronization

/// What the application knows of the rows it wanted to write.
final class Ledger: Sendable {
    /// A write that the application was told is done.
    struct Acknowledgement: Sendable {
        var id: Int
        var host: String
        /// When the application asked for it, and when it was told.
        var began: ContinuousClock.Instant
        var ended: ContinuousClock.Instant
    }

    /// A write that the application was told is not done, or not known to be.
    struct Failure: Sendable {
        /// Code, SQLSTATE and outcome, to count by; the error's type if it is none of ours.
        var label: String
        var isTyped: Bool
        var description: String
    }

    private struct State {
        var acknowledged: [Acknowledgement] = []
        var doubtful: Set<Int> = []
        var failures: [Failure] = []
    }

    private let state = Mutex(State())

    var acknowledged: [Acknowledgement] { state.withLock { $0.acknowledged } }
    /// Ids whose error said that the write may have happened.
    var doubtful: Set<Int> { state.withLock { $0.doubtful } }
    var failures: [Failure] { state.withLock { $0.failures } }

    var count: Int { state.withLock { $0.acknowledged.count } }

    func acknowledge(_ id: Int, on host: String, began: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        state.withLock { $0.acknowledged.append(Acknowledgement(id: id, host: host, began: began, ended: now)) }
    }

    /// - Returns: Whether the same id may be tried again: the error says that nothing happened.
    func fail(_ id: Int, _ error: any Error) -> Bool {
        let failure = Failure(error)
        let isDone = (error as? DatabaseError).map { $0.outcome != .notSent && $0.outcome != .failed } ?? false
        state.withLock { state in
            state.failures.append(failure)
            if isDone { state.doubtful.insert(id) }
        }
        return !isDone
    }

    /// The first write on a host that was asked for and acknowledged after a moment.
    func first(on host: String, after moment: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        state.withLock { state in
            state.acknowledged.lazy.filter { $0.host == host && $0.ended > moment }.map(\.ended).min()
        }
    }

    /// How many failures there were of each kind.
    var failuresByLabel: [String: Int] {
        failures.reduce(into: [:]) { $0[$1.label, default: 0] += 1 }
    }
}

extension Ledger.Failure {
    init(_ error: any Error) {
        description = String(describing: error)
        switch error {
        case let error as DatabaseError:
            isTyped = true
            label = "\(error.sqlState?.rawValue ?? error.code.description), \(error.outcome)"
        case let error as ClusterError:
            isTyped = true
            label = error.code.description
        case let error as RetryError:
            isTyped = true
            label = "retried, \(error.code)"
        default:
            isTyped = false
            label = String(describing: type(of: error))
        }
    }
}
