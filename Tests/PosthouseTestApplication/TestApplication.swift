// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse

/// An application in a process of its own, which a test can stop, starve and weigh. It prints lines of a word and values.
///
/// `idle DSN CONNECTIONS SECONDS` keeps so many idle connections to each host.
/// `starve DSN SECONDS ROUNDS` keeps every thread of the cooperative pool and every core busy for so long, so often.
/// `exhaust DSN` works, uses up its file descriptors, waits for a line of input, and gives them back.
@main
enum TestApplication {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3 else {
            report("usage: idle DSN CONNECTIONS SECONDS | starve DSN SECONDS ROUNDS | exhaust DSN")
            return
        }
        let dsn = arguments[2]
        let numbers = arguments.dropFirst(3).compactMap(Double.init)
        switch (arguments[1], numbers.count) {
        case ("idle", 2): try await Idleness(dsn: dsn, connections: Int(numbers[0])).run(for: .seconds(numbers[1]))
        case ("starve", 2): try await Starvation(dsn: dsn, rounds: Int(numbers[1])).run(for: numbers[0])
        case ("exhaust", 0): try await Exhaustion(dsn: dsn).run()
        default: report("cannot \(arguments.dropFirst())")
        }
    }
}

/// Prints the events by which a host is thrown out, or comes back, once it was in; then that this is all.
func printVerdicts(in events: AsyncStream<ClusterEvent>) async {
    for await event in events {
        switch event.kind {
        // Those of the start: the subscription is older than they are.
        case .stateChanged(from: .unknown, to: .up), .roleChanged(from: .unknown, to: _), .primaryElected(_, nil):
            continue
        case .suspected: continue
        default: report("event", event.host, event.kind, event.reason ?? "")
        }
    }
    report("done")
}

/// Prints a line at once, also into a pipe.
func report(_ words: Any...) {
    print(words.map { "\($0)" }.joined(separator: " "))
    fflush(nil)
}
