// SPDX-License-Identifier: Apache-2.0

import Posthouse

/// An application in a process of its own, which a test can stop, starve and weigh. It prints lines of a word and values.
///
/// `idle DSN CONNECTIONS SECONDS` keeps so many idle connections to each host.
/// `starve DSN SECONDS` works, then keeps every thread of the cooperative pool and every core busy for so long.
@main
enum TestApplication {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4 else {
            print("usage: idle DSN CONNECTIONS SECONDS | starve DSN SECONDS")
            return
        }
        switch arguments[1] {
        case "idle":
            try await Idleness(dsn: arguments[2], connections: Int(arguments[3]) ?? 10).run(
                for: .seconds(Double(arguments[4]) ?? 10)
            )
        default:
            try await Starvation(dsn: arguments[2]).run(for: Double(arguments[3]) ?? 3)
        }
    }
}
