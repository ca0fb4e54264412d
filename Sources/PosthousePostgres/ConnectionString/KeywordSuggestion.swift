// SPDX-License-Identifier: Apache-2.0

/// Finds the keyword that an unknown one was probably meant to be.
enum KeywordSuggestion {
    /// What other clients call libpq's parameters, without case and underscores.
    private static let synonyms: KeyValuePairs = [
        "username": "user", "pass": "password", "pwd": "password",
        "database": "dbname", "databasename": "dbname", "db": "dbname",
        "hostname": "host", "hosts": "host", "server": "host", "address": "hostaddr", "ports": "port",
        "ssl": "sslmode", "tls": "sslmode", "ca": "sslrootcert", "cafile": "sslrootcert", "sslca": "sslrootcert",
        "timeout": "connect_timeout", "logintimeout": "connect_timeout", "sockettimeout": "tcp_user_timeout",
        "targetservertype": "target_session_attrs", "targetsessionattributes": "target_session_attrs",
        "keepalivesretries": "keepalives_count", "tcpkeepalive": "keepalives", "encoding": "client_encoding",
        "appname": "application_name", "loadbalance": "load_balance_hosts",
    ]

    static func closest(to name: String) -> String? {
        let plain = simplified(name)
        let keywords = ConnectionKeyword.all.lazy.filter { $0.since <= 15 }.map { (simplified($0.name), $0.name) }
        var best: (keyword: String, distance: Int)?
        for (candidate, keyword) in Array(keywords) + synonyms.map({ (Array($0.utf8), $1) }) {
            let distance = distance(from: plain, to: candidate)
            if distance < best?.distance ?? .max { best = (keyword, distance) }
        }
        guard let best, best.distance <= (plain.count < 3 ? 0 : max(1, plain.count / 4)) else { return nil }
        return best.keyword
    }

    private static func simplified(_ name: String) -> [UInt8] {
        name.lowercased().utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }
    }

    /// Levenshtein's distance, with the exchange of two neighbours as one step.
    private static func distance(from source: [UInt8], to target: [UInt8]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...target.count)
        for row in source.indices {
            var current = [row + 1]
            for column in target.indices {
                var cost = min(
                    previous[column + 1] + 1,
                    current[column] + 1,
                    previous[column] + (source[row] == target[column] ? 0 : 1)
                )
                if row > 0, column > 0, source[row] == target[column - 1], source[row - 1] == target[column] {
                    cost = min(cost, beforePrevious[column - 1] + 1)
                }
                current.append(cost)
            }
            (beforePrevious, previous) = (previous, current)
        }
        return previous[target.count]
    }
}
