// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import PosthouseTestKit

/// The only server is away for a while (its connections are reset as soon as they are accepted), with callers that wait; and
/// again, because the moment of the return is chance.
struct Hunting {
    /// What the server had to bear.
    struct Burden: Codable, CustomStringConvertible {
        var contender: Contender
        var callers: Int
        /// While it was away.
        var connectsPerSecond: Double
        /// In the first second after each return.
        var connectsOnReturn: [Int]
        /// From each return to the first write; one that did not come within ten seconds counts as 1,000 s.
        var firstWriteMilliseconds: [Double]

        enum CodingKeys: String, CodingKey {
            case contender, callers
            case connectsPerSecond = "connects_per_second"
            case connectsOnReturn = "connects_on_return"
            case firstWriteMilliseconds = "first_write_ms"
        }

        var description: String {
            "\(contender.name), \(callers) callers: \(connectsPerSecond.text(1)) connects/s while away, "
                + "at most \(connectsOnReturn.max() ?? 0) in the first second after, first write after "
                + "\(firstWriteMilliseconds.median.text(1)) ms in the median"
        }
    }

    var proxy: FaultProxy
    /// How long it is away each time.
    var seconds: Double
    var returns: Int

    func measure(_ contender: Contender, _ command: [String], _ callers: Int, port: Int) async throws -> Burden {
        let program = try ApplicationProgram(contender.name, command)
        do {
            guard try await program.firstWrite(by: port, within: .seconds(60)) != nil else {
                throw ChildProgram.Failure(description: "\(contender.name) does not begin")
            }
            try await Task.sleep(for: .seconds(2))
            var connects = 0
            var burden = Burden(
                contender: contender,
                callers: callers,
                connectsPerSecond: 0,
                connectsOnReturn: [],
                firstWriteMilliseconds: []
            )
            for _ in 0..<returns {
                try await proxy.apply(.reset)
                // What was there is gone by then; only what tries again and again counts.
                try await Task.sleep(for: .milliseconds(Int.random(in: 1000...2000)))
                let before = proxy.statistics.accepted
                try await Task.sleep(for: .seconds(seconds))
                let hunted = proxy.statistics.accepted
                connects += hunted - before
                program.forgetFirstWrites()
                let back = monotonicNanoseconds()
                try await proxy.heal()
                try await Task.sleep(for: .seconds(1))
                burden.connectsOnReturn.append(proxy.statistics.accepted - hunted)
                let first = try await program.firstWrite(by: port, within: .seconds(10))
                let gap = first.map { (Double($0) - Double(back)) / 1e6 } ?? 1e6
                burden.firstWriteMilliseconds.append(gap.rounded(to: 1))
                try await Task.sleep(for: .seconds(1))
            }
            burden.connectsPerSecond = (Double(connects) / (seconds * Double(returns))).rounded(to: 1)
            _ = try await program.end()
            return burden
        } catch {
            program.kill()
            throw error
        }
    }
}
