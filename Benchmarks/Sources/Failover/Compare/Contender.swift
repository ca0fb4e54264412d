// SPDX-License-Identifier: Apache-2.0

/// Whose application takes part.
enum Contender: String, Codable, CaseIterable, Hashable {
    case posthouse, hasql
    /// With a refresh delay of 20 ms.
    case hasqlFast = "hasql-20ms"

    var name: String {
        switch self {
        case .posthouse: "Posthouse"
        case .hasql: "hasql, as it comes"
        case .hasqlFast: "hasql, refresh every 20 ms"
        }
    }

    /// Each has ids of its own, so that all can write into one table.
    var firstID: Int { (Self.allCases.firstIndex(of: self) ?? 0) * 100_000_000 }
    var ids: Range<Int> { firstID..<firstID + 100_000_000 }

    /// - Returns: nil without a Python that has hasql: then only ours takes part.
    func command(
        dsn: String,
        trial: Int,
        _ options: PeerOptions,
        writers: Int = 2,
        readers: Int = 1
    ) -> [String]? {
        // The ledger is empty before each trial: numbers that come again are no harm.
        let first = "\(firstID + trial % 90 * 1_000_000)"
        let load = ["\(writers)", "\(readers)"]
        let hasql = options.python.map { [$0, "\(options.peers)/failover.py", dsn, first] + load }
        switch self {
        case .posthouse:
            return [CommandLine.arguments[0], "apply", dsn, first, "--writers", load[0], "--readers", load[1]]
        case .hasql: return hasql
        case .hasqlFast: return hasql.map { $0 + ["0.02"] }
        }
    }
}
