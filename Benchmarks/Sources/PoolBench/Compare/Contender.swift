// SPDX-License-Identifier: Apache-2.0

/// Whose pool. Each runs in a process of its own, from the first round to the last, over connections to nothing.
enum Contender: String, Codable, CaseIterable {
    case posthouse = "Posthouse"
    case hikari = "HikariCP"
    case asyncio = "asyncio-connection-pool"
    case psycopg = "psycopg_pool"
    case psycopgThreads = "psycopg_pool, threads"

    static let peers = allCases.filter { $0 != .posthouse }

    var name: String { rawValue }

    /// What its callers are.
    var callers: String {
        switch self {
        case .posthouse: "tasks on one thread per core"
        case .hikari: "threads (this Java has no virtual ones), after seconds of warm-up"
        case .asyncio: "tasks on one event loop"
        case .psycopg: "tasks on one event loop (AsyncConnectionPool)"
        case .psycopgThreads: "threads under Python's lock (ConnectionPool)"
        }
    }

    /// So many hits take it a few tenths of a second.
    var hits: Double {
        switch self {
        case .posthouse: 1_000_000
        case .hikari: 2_000_000
        case .asyncio: 30_000
        case .psycopg: 15_000
        case .psycopgThreads: 10_000
        }
    }

    /// The most callers that make sense to it where they have to wait; 0: not measured.
    var mostHolding: Int {
        switch self {
        case .posthouse: 8192
        case .hikari, .asyncio, .psycopg: 512
        case .psycopgThreads: 0
        }
    }

    /// Told apart by people who see no red and green, too.
    var color: String {
        switch self {
        case .posthouse: "#0072b2"
        case .hikari: "#e69f00"
        case .asyncio: "#009e73"
        case .psycopg: "#cc79a7"
        case .psycopgThreads: "#8a8a8a"
        }
    }
}
