// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import Synchronization

/// What an application was told by the servers.
final class Diary: Sendable {
    private struct State {
        var lastID: Int
        var isClosed = false
        var lastWrite: UInt64 = 0
        var report = ApplicationReport()
    }

    private let state: Mutex<State>

    init(ids firstID: Int) {
        state = Mutex(State(lastID: firstID))
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    func close() {
        state.withLock { $0.isClosed = true }
    }

    /// `nil` at the end.
    func nextID() -> Int? {
        state.withLock { state in
            guard !state.isClosed else { return nil }
            state.lastID += 1
            return state.lastID
        }
    }

    /// Without a write for so long, the next one is told of; in nanoseconds.
    private static let silence: UInt64 = 500_000_000

    /// Tells at once of the first write by a server, and of the first one after a silence.
    func acknowledge(_ id: Int, by port: Int, began: UInt64) {
        state.withLock { state in
            // Under the lock, so that it only grows.
            let now = monotonicNanoseconds()
            let isFirst =
                now - state.lastWrite > Self.silence || !state.report.acknowledged.contains { $0.port == port }
            state.lastWrite = now
            state.report.add(id, by: port, began: began)
            if isFirst { FileHandle.standardOutput.write(Data("first \(port) \(now)\n".utf8)) }
        }
    }

    func fail(_ id: Int, _ error: String) {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.report.failed += 1
            state.report.lastError = error
        }
    }

    func read(_ error: String?) {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.report.reads += 1
            if error != nil { state.report.failedReads += 1 }
        }
    }

    func print() throws {
        let report = state.withLock { $0.report }
        FileHandle.standardOutput.write(try JSONEncoder().encode(report) + Data("\n".utf8))
    }
}

/// What an application prints at its end, in one line of JSON; the peer's programs print the same.
struct ApplicationReport: Codable {
    /// Writes that a server acknowledged.
    struct Acknowledged: Codable {
        var port: Int
        var ids: [Int] = []
        /// When each was asked for; `CLOCK_MONOTONIC`, in nanoseconds.
        var began: [UInt64] = []
    }

    var acknowledged: [Acknowledged] = []
    /// Writes that ended with an error, and the last one's.
    var failed = 0
    var lastError: String?
    var reads = 0
    var failedReads = 0

    enum CodingKeys: String, CodingKey {
        case acknowledged, failed, reads
        case lastError = "last_error"
        case failedReads = "failed_reads"
    }

    mutating func add(_ id: Int, by port: Int, began: UInt64) {
        let index = acknowledged.firstIndex { $0.port == port } ?? acknowledged.endIndex
        if index == acknowledged.endIndex { acknowledged.append(Acknowledged(port: port)) }
        acknowledged[index].ids.append(id)
        acknowledged[index].began.append(began)
    }
}
