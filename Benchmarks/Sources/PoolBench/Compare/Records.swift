// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// What was measured again and again, in rounds of all contenders.
struct Records {
    /// Who was asked what; how many hits belongs to the contender, not to the question.
    struct Cell: Hashable {
        var contender: Contender
        var kind: Question.Kind
        var callers: Int
        var size: Int
        /// Connections that others hold all the time.
        var leased: Int

        init(_ contender: Contender, _ kind: Question.Kind, callers: Int = 1, size: Int = 0, leased: Int = 0) {
            self.contender = contender
            self.kind = kind
            self.callers = callers
            self.size = size
            self.leased = leased
        }

        /// Ours, by one caller.
        static let small = Cell(.posthouse, .among, size: 64)
        static let large = Cell(.posthouse, .among, size: 512)
        static let crowded = Cell(.posthouse, .among, size: 512, leased: 448)
    }

    private var answers: [Cell: [Int: Answer]] = [:]

    mutating func add(_ answer: Answer, to cell: Cell, round: Int) {
        answers[cell, default: [:]][round] = answer
    }

    func median(_ figure: String, _ cell: Cell) -> Double? {
        guard let rounds = answers[cell] else { return nil }
        return rounds.values.compactMap { $0[figure] }.median
    }

    /// The median of the ratios within each round, so that drift of the machine cancels.
    func ratio(_ figure: String, _ cell: Cell, to other: Cell) -> Double? {
        guard let rounds = answers[cell], let others = answers[other] else { return nil }
        let ratios = rounds.compactMap { round, answer -> Double? in
            guard let value = answer[figure], let base = others[round]?[figure], base > 0 else { return nil }
            return value / base
        }
        return ratios.isEmpty ? nil : ratios.median
    }
}
