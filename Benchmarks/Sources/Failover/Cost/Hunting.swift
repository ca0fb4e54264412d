// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import PosthouseTestKit

/// The only server is away for a while (its connections are reset as soon as they are accepted), with callers that wait.
struct Hunting {
    /// What the server had to bear.
    struct Burden: Codable, CustomStringConvertible {
        var contender: Contender
        var callers: Int
        /// While it was away.
        var connectsPerSecond: Double
        /// In the first second after its return.
        var connectsOnReturn: Int
        /// From its return to the first write; `nil`: not within ten seconds.
        var firstWriteMilliseconds: Double?

        enum CodingKeys: String, CodingKey {
            case contender, callers
            case connectsPerSecond = "connects_per_second"
            case connectsOnReturn = "connects_on_return"
            case firstWriteMilliseconds = "first_write_ms"
        }

        var description: String {
            "\(contender.name), \(callers) callers: \(connectsPerSecond.text(1)) connects/s while away, "
                + "\(connectsOnReturn) in the first second after, first write after "
                + (firstWriteMilliseconds.map { "\($0.text(1)) ms" } ?? "over 10 s")
        }
    }

    var proxy: FaultProxy
    var seconds: Double

    func measure(_ contender: Contender, _ command: [String], _ callers: Int, port: Int) async throws -> Burden {
        let program = try ApplicationProgram(contender.name, command)
        do {
            guard try await program.firstWrite(by: port, within: .seconds(60)) != nil else {
                throw ChildProgram.Failure(description: "\(contender.name) does not begin")
            }
            try await Task.sleep(for: .seconds(2))
            try await proxy.apply(.reset)
            // What was there is gone by then; only what tries again and again counts.
            try await Task.sleep(for: .seconds(1))
            let before = proxy.statistics.accepted
            try await Task.sleep(for: .seconds(seconds))
            let hunted = proxy.statistics.accepted
            program.forgetFirstWrites()
            let back = monotonicNanoseconds()
            try await proxy.heal()
            try await Task.sleep(for: .seconds(1))
            let returned = proxy.statistics.accepted
            let first = try await program.firstWrite(by: port, within: .seconds(10))
            _ = try await program.end()
            return Burden(
                contender: contender,
                callers: callers,
                connectsPerSecond: (Double(hunted - before) / seconds).rounded(to: 1),
                connectsOnReturn: returned - hunted,
                firstWriteMilliseconds: first.map { ((Double($0) - Double(back)) / 1e6).rounded(to: 1) }
            )
        } catch {
            program.kill()
            throw error
        }
    }
}
