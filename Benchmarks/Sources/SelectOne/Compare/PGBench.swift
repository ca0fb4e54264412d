// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// PostgreSQL's own load generator: the C limit.
struct PGBench {
    var path: String
    var port: Int

    /// A share of the transactions is logged, which tells times and each client's count at next to no cost.
    private static let samplingRate = 0.02

    func measure(threads: Int, load: LoadOptions) throws -> Measurement {
        let folder = FileManager.default.temporaryDirectory.appending(path: "posthouse-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = folder.appending(path: "select1.sql")
        try Data("SELECT 1;\n".utf8).write(to: script)
        let seconds = max(1, Int(load.seconds.rounded()))
        let output = try ChildProgram(
            path: path,
            arguments: [
                "-n", "-M", "prepared", "-c", "\(load.clients)", "-j", "\(threads)", "-T", "\(seconds)", "-f",
                script.path,
                "--log", "--sampling-rate=\(Self.samplingRate)", "--log-prefix=\(folder.path)/log",
                "-h", "127.0.0.1", "-p", "\(port)", "-U", "postgres", "postgres",
            ],
            limit: Double(seconds) + 30,
            isQuiet: true
        ).run()
        return try Measurement(
            operationsPerSecond: Self.rate(in: String(decoding: output, as: UTF8.self)),
            samples: Self.samples(in: folder)
        )
    }

    /// From the line "tps = 71234.5 (without initial connection time)".
    private static func rate(in report: String) throws -> Double {
        for line in report.split(separator: "\n") where line.hasPrefix("tps = ") && !line.contains("including") {
            if let rate = line.split(separator: " ").dropFirst(2).first.flatMap({ Double($0) }) { return rate }
        }
        throw ChildProgram.Failure(description: "pgbench did not tell its rate")
    }

    fileprivate struct Sample {
        var client: Int
        /// The number of the transaction among those of its client.
        var number: Int
        var milliseconds: Double
    }

    /// Lines of "client number microseconds ...", in one file for each thread.
    private static func samples(in folder: URL) throws -> [Sample] {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.lastPathComponent.hasPrefix("log") }.flatMap { file in
            String(decoding: try Data(contentsOf: file), as: UTF8.self).split(separator: "\n").compactMap { line in
                let fields = line.split(separator: " ").prefix(3).compactMap { Int($0) }
                guard fields.count == 3 else { return nil }
                return Sample(client: fields[0], number: fields[1], milliseconds: Double(fields[2]) / 1000)
            }
        }
    }
}

extension Measurement {
    fileprivate init(operationsPerSecond: Double, samples: [PGBench.Sample]) throws {
        let sorted = samples.map(\.milliseconds).sorted()
        guard !sorted.isEmpty else { throw ChildProgram.Failure(description: "pgbench logged nothing") }
        let counts = samples.reduce(into: [Int: Int]()) { $0[$1.client] = max($0[$1.client] ?? 0, $1.number + 1) }
            .values
        self.init(
            operationsPerSecond: operationsPerSecond,
            p50: sorted[sorted.count / 2],
            p99: sorted[sorted.count * 99 / 100],
            fairness: Double(counts.min() ?? 0) / Double(counts.max() ?? 1)
        )
    }
}
