// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// Asks all contenders everything, round by round.
struct PoolComparison {
    let extent: Extent
    private(set) var records = Records()
    private var programs: [Contender: ContenderProgram] = [:]
    /// Who could not take part, or stopped, and why.
    private(set) var missing: [PoolResults.Missing] = []

    /// - Parameter commands: How each contender is started.
    /// - Throws: What goes wrong with our own; a peer that does not start is missing.
    init(_ commands: [Contender: [String]], extent: Extent) throws {
        self.extent = extent
        for contender in Contender.allCases {
            guard let command = commands[contender] else {
                missing.append(.init(id: contender.name, reason: "not installed"))
                continue
            }
            programs[contender] = try ContenderProgram(command)
            tell("\(contender.name) warms up")
            let seconds = contender == .hikari ? extent.warmUpSeconds : 0.5
            _ = try ask(contender, Question(.warm, seconds), during: "warm-up")
        }
    }

    mutating func run() throws {
        for round in 0..<extent.rounds {
            tell("round \(round + 1) of \(extent.rounds): idle hits, spike")
            try compareHits(round)
            try compareSizes(round)
            for contender in order(round) where contender != .psycopgThreads {
                try record(contender, Extent.spike, as: .init(contender, .spike), round)
            }
        }
        for round in 0..<extent.holdRounds {
            for size in Extent.holdPools {
                tell("round \(round + 1) of \(extent.holdRounds): held for a yield, pool of \(size)")
                for callers in extent.holdCallers {
                    for contender in order(round) where callers <= contender.mostHolding {
                        let question = Question(.hold, Double(callers), Double(size), extent.holdSeconds)
                        let cell = Records.Cell(contender, .hold, callers: callers, size: size)
                        try record(contender, question, as: cell, round)
                    }
                }
            }
        }
        for program in programs.values { program.end() }
        programs = [:]
    }

    private mutating func compareHits(_ round: Int) throws {
        let size = Extent.hitPool
        for callers in Extent.hitCallers {
            for contender in order(round) {
                let hits = contender.hits * extent.hitShare
                var questions = [Question(.hit, Double(callers), Double(size), hits)]
                if contender == .posthouse {
                    questions.append(Question(.scoped, Double(callers), Double(size), hits))
                    questions.append(Question(.pair, Double(callers), 4 * hits))
                }
                for question in questions {
                    let cell = Records.Cell(contender, question.kind, callers: callers, size: size)
                    try record(contender, question, as: cell, round)
                }
            }
        }
    }

    /// Ours alone: large pools, and the two shapes of another pool's benchmark.
    private mutating func compareSizes(_ round: Int) throws {
        let hits = Contender.posthouse.hits * extent.hitShare
        for cell in [Records.Cell.small, .large, .crowded] {
            try record(.posthouse, Question(.among, Double(cell.size), Double(cell.leased), hits), as: cell, round)
        }
        for tasks in [50, 1] {
            let question = Question(.burst, Double(tasks), 50, 1000, 200)
            try record(.posthouse, question, as: .init(.posthouse, .burst, callers: tasks, size: 50), round)
        }
    }

    /// Each round begins elsewhere, so that nobody always follows the same one.
    private func order(_ round: Int) -> [Contender] {
        let present = Contender.allCases.filter { programs[$0] != nil }
        let start = round % max(1, present.count)
        return Array(present[start...] + present[..<start])
    }

    private mutating func record(
        _ contender: Contender,
        _ question: Question,
        as cell: Records.Cell,
        _ round: Int
    ) throws {
        guard let answer = try ask(contender, question, during: "round \(round + 1)") else { return }
        records.add(answer, to: cell, round: round)
    }

    /// - Returns: `nil` if a peer failed; it takes part no more.
    private mutating func ask(_ contender: Contender, _ question: Question, during what: String) throws -> Answer? {
        guard let program = programs[contender] else { return nil }
        do {
            return try program.ask(question)
        } catch {
            guard contender != .posthouse else { throw error }
            programs[contender] = nil
            tell("\(contender.name) failed: \(error)")
            missing.append(.init(id: contender.name, reason: "failed during \(what)"))
            return nil
        }
    }

    private func tell(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
