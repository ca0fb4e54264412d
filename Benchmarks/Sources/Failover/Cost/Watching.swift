// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import PosthouseTestKit

/// A manager in a process of its own, without users, while all servers are well.
struct Watching {
    /// What it costs.
    struct Cost: Codable, CustomStringConvertible {
        var contender: Contender
        var hosts: Int
        /// Statements that all servers together ran for it, in a second.
        var probesPerSecond: Double
        /// On all servers together, at the end.
        var connections: Int
        /// Of one processor.
        var processorShare: Double
        var residentMebibytes: Double

        enum CodingKeys: String, CodingKey {
            case contender, hosts, connections
            case probesPerSecond = "probes_per_second"
            case processorShare = "processor_share"
            case residentMebibytes = "resident_mib"
        }

        var description: String {
            "\(contender.name), \(hosts) hosts: \(probesPerSecond.text(1)) probes/s, \(connections) connections, "
                + "\((100 * processorShare).text(2))% of a processor, \(residentMebibytes.text(1)) MiB"
        }
    }

    var servers: LocalCluster
    var seconds: Double

    func measure(_ contender: Contender, _ command: [String], _ hosts: Int) async throws -> Cost {
        let program = try ApplicationProgram(contender.name, command)
        do {
            // Until it has found all of them, and is calm.
            try await Task.sleep(for: .seconds(5))
            let (before, began) = (try statements(), monotonicNanoseconds())
            let used = try ProcessFigures(of: program.processIdentifier).processorSeconds
            try await Task.sleep(for: .seconds(seconds))
            let figures = try ProcessFigures(of: program.processIdentifier)
            let after = try statements()
            let took = Double(monotonicNanoseconds() - began) / 1e9
            let connections = try await connections()
            let cost = Cost(
                contender: contender,
                hosts: hosts,
                probesPerSecond: (Double(after - before) / took).rounded(to: 1),
                connections: connections,
                processorShare: ((figures.processorSeconds - used) / took).rounded(to: 5),
                residentMebibytes: (Double(figures.residentBytes) / 1_048_576).rounded(to: 1)
            )
            _ = try await program.end()
            return cost
        } catch {
            program.kill()
            throw error
        }
    }

    /// In all servers' logs.
    private func statements() throws -> Int {
        try servers.nodes.reduce(0) { sum, node in
            let log = try Data(contentsOf: URL(fileURLWithPath: node.logFile))
            return sum
                + log.split(separator: UInt8(ascii: "\n")).count { line in
                    line.contains(Data(" LOG:  statement: ".utf8)) || line.contains(Data(" LOG:  execute ".utf8))
                }
        }
    }

    private func connections() async throws -> Int {
        var sum = 0
        for node in servers.nodes {
            let count = try await node.value(
                of: "SELECT count(*) FROM pg_stat_activity "
                    + "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            sum += count.flatMap { Int($0) } ?? 0
        }
        return sum
    }
}

/// What the kernel knows of a process.
struct ProcessFigures {
    var processorSeconds: Double
    var residentBytes: Int

    /// - Throws: What Foundation throws if the process has ended.
    init(of process: Int32) throws {
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        // After the name, which may hold blanks: state is the first, utime the 12th, stime the 13th, rss the 22nd.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ").dropFirst()
        let numbers = fields.map { Double($0) ?? 0 }
        guard numbers.count > 21 else { throw ChildProgram.Failure(description: "/proc/\(process)/stat is too short") }
        processorSeconds = (numbers[11] + numbers[12]) / Double(sysconf(Int32(_SC_CLK_TCK)))
        residentBytes = Int(numbers[21]) * sysconf(Int32(_SC_PAGESIZE))
    }
}
