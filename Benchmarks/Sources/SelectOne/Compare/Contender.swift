// SPDX-License-Identifier: Apache-2.0

/// Who takes part. Each runs in a process of its own, against the same servers.
enum Contender: Hashable, Sendable {
    case pgbench(threads: Int)
    case posthouse(MeasureCommand.Path, MeasureCommand.Executor)
    case python(PythonPeer)

    /// In the order of the report: the limit, ourselves, the peers.
    static let all: [Contender] =
        [.pgbench(threads: 1), .pgbench(threads: 2)]
        + MeasureCommand.Path.allCases.flatMap { path in
            MeasureCommand.Executor.allCases.map { Contender.posthouse(path, $0) }
        }
        + PythonPeer.allCases.map(Contender.python)

    /// A short name without blanks, for programs.
    var id: String {
        switch self {
        case .pgbench(let threads): "pgbench-\(threads)"
        case .posthouse(let path, let executor): "posthouse-\(path.rawValue)-\(executor.rawValue)"
        case .python(let peer): peer.id
        }
    }

    /// A name for people.
    var name: String {
        switch self {
        case .pgbench(1): "pgbench, 1 thread"
        case .pgbench(let threads): "pgbench, \(threads) threads"
        case .posthouse(.driver, let executor): "Posthouse, driver alone, \(executor.name)"
        case .posthouse(let path, let executor): "Posthouse, cluster.\(path.rawValue), \(executor.name)"
        case .python(let peer): peer.name
        }
    }

    var family: Family {
        switch self {
        case .pgbench: .limit
        case .posthouse: .posthouse
        case .python: .peer
        }
    }

    /// What a contender is there for.
    enum Family: String, Codable {
        /// C without a manager: what can be had at all.
        case limit
        case posthouse
        case peer
    }
}

extension MeasureCommand.Executor {
    var name: String {
        switch self {
        case .default: "default executor"
        case .loops: "on the loops"
        }
    }
}

/// The peers from Python's package index; see `peers/`.
enum PythonPeer: String, CaseIterable, Sendable {
    case asyncpg, hasql, psycopg, psqlpy

    var id: String { name.replacing(" ", with: "-") }

    /// What is measured: the driver with its own pool, or the manager over it.
    var name: String {
        switch self {
        case .asyncpg: "asyncpg pool"
        case .hasql: "hasql+asyncpg"
        case .psycopg: "psycopg_pool"
        case .psqlpy: "psqlpy pool"
        }
    }

    /// The module that must be there.
    var module: String {
        switch self {
        case .asyncpg: "asyncpg"
        case .hasql: "hasql.driver.asyncpg"
        case .psycopg: "psycopg_pool"
        case .psqlpy: "psqlpy"
        }
    }
}
