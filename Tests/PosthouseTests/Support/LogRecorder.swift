// SPDX-License-Identifier: Apache-2.0

import Logging
import Synchronization

/// Keeps what is logged.
final class LogRecorder: Sendable {
    private let lines = Mutex<[(text: String, metadata: Logger.Metadata)]>([])

    /// "level message", in order.
    var messages: [String] { lines.withLock { $0.map(\.text) } }

    /// What the first line with this text says beside it.
    func metadata(of text: String) -> Logger.Metadata? {
        lines.withLock { lines in lines.first { $0.text == text }?.metadata }
    }

    func logger(_ level: Logger.Level) -> Logger {
        var logger = Logger(label: "test") { _ in Handler(recorder: self) }
        logger.logLevel = level
        return logger
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }
            recorder.lines.withLock { $0.append(("\(event.level) \(event.message)", metadata)) }
        }
    }
}
