// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// One command on its way to the server and back: what was sent, and what has come in so far.
struct Exchange {
    /// What was sent.
    enum Command {
        /// A statement with its parameters, by the extended protocol. The name of the prepared one, if it is.
        case statement(name: String?)
        /// A statement is being prepared, to be sent next.
        case preparation(name: String)
        /// Prepared statements that nobody needs are dropped; the real command comes next.
        case deallocation
        /// Text with any number of statements, by the simple protocol.
        case script
    }

    var command: Command

    /// libpq still holds a part of what is to be sent. The server cannot have run it then: the last message, without
    /// which nothing is committed, has not left.
    var isFlushing = true

    /// The transport failed while reading.
    var isTransportDead = false

    /// More is there to be read, after much was read in one go: others want the thread, and the deadline may have passed.
    var isPausing = false

    /// The server waits for, or sends, COPY data.
    var isCopying = false

    /// The first error, be it the server's or libpq's own. Read when the exchange is over, and only if there is one.
    var failure: ServerResult?

    /// The answers: one, but for scripts.
    var results: [ServerResult] = []
    var result: ServerResult?

    init(_ command: Command) {
        self.command = command
    }

    /// Takes over a result.
    mutating func collect(_ result: OpaquePointer, host: String) {
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            switch command {
            case .statement: self.result = ServerResult(owning: result, host: host)
            case .script: results.append(ServerResult(owning: result, host: host))
            case .preparation, .deallocation: PQclear(result)
            }
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            isCopying = true
            PQclear(result)
        default:
            // The first error is the cause; a lost connection adds its own after it.
            let error = ServerResult(owning: result, host: host)
            if failure == nil { failure = error }
        }
    }
}
