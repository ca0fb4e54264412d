// SPDX-License-Identifier: Apache-2.0

/// What a contender is asked to measure: a line of words to its standard input, answered by a line of JSON.
struct Question: Equatable {
    enum Kind: String, CaseIterable {
        // Every contender knows these; `peers/` describes their numbers and their answers.
        case warm, hit, hold, spike
        // Only ours does.
        /// As `hit`, through `withConnection`.
        case scoped
        /// CALLERS COUNT: pairs of compare-exchanges on one word, as a limit of what a hit can cost.
        case pair
        /// SIZE SLICES: what one caller's hit costs in such pairs, while no neighbour takes the processor's units.
        case priced
        /// SIZE LEASED COUNT: hits by one caller while that many are leased to others.
        case among
        /// TASKS SIZE LEASES RUNS: so many leases together, shared by new tasks; the median of so many runs.
        case burst
        /// COUNT: blocks asked of the allocator during so many hits.
        case allocations
        /// WAITERS SECONDS: the server is away for that long, in virtual time.
        case outage
        /// COUNT BATCH: requests that wait and are cancelled.
        case cancelled
        /// COUNT: memory of tasks that wait for a connection.
        case waiting
        /// COUNT: memory of tasks that wait for nothing but a gate.
        case suspended
    }

    var kind: Kind
    var numbers: [Double]

    init(_ kind: Kind, _ numbers: Double...) {
        self.kind = kind
        self.numbers = numbers
    }

    /// `nil` if no contender understands it.
    init?(words: [String]) {
        guard let kind = words.first.flatMap(Kind.init) else { return nil }
        let numbers = words.dropFirst().compactMap { Double($0) }
        guard numbers.count == kind.count, words.count == kind.count + 1 else { return nil }
        self.kind = kind
        self.numbers = numbers
    }

    var line: String {
        ([kind.rawValue] + numbers.map { $0.rounded() == $0 ? String(Int($0)) : String($0) }).joined(separator: " ")
    }

    /// One of the numbers, where it is one of things.
    func count(_ index: Int) -> Int { Int(numbers[index]) }
}

extension Question.Kind {
    /// How many numbers belong to it.
    fileprivate var count: Int {
        switch self {
        case .warm, .allocations, .waiting, .suspended: 1
        case .pair, .priced, .outage, .cancelled: 2
        case .hit, .scoped, .hold, .among: 3
        case .burst: 4
        case .spike: 5
        }
    }
}

/// A contender's figures by their names.
typealias Answer = [String: Double]
