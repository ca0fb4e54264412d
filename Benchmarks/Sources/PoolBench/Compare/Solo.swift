// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// Questions about memory and allocations: each is asked of a process of its own, so that none inherits another's heap.
struct Solo {
    /// Our own program.
    var program: String

    func ask(_ question: Question) throws -> Answer {
        let words = question.line.split(separator: " ").map(String.init)
        let answer = try ChildProgram(path: program, arguments: ["measure"] + words, limit: 120).run()
        return try JSONDecoder().decode(Answer.self, from: answer)
    }
}
