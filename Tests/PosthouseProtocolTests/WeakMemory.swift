// SPDX-License-Identifier: Apache-2.0

/// Memory as threads of a weakly ordered processor see it: the release/acquire part of C++'s model, in its operational form
/// (Kang, Hur, Lahav, Vafeiadis, Dreyer, "A Promising Semantics for Relaxed-Memory Concurrency", POPL 2017, without
/// promises).
///
/// A location holds all that was ever stored there, in order. Each thread has, for each location, the oldest entry that it
/// may still read. Acquiring what was released raises that to what the releasing thread knew.
struct WeakMemory: Hashable {
    private struct Entry: Hashable {
        var value: UInt64
        /// For each location, the oldest entry that whoever acquires this one may still read.
        var knowledge: [Int]
    }

    private var history: [[Entry]]
    private var knowledge: [[Int]]

    /// - Parameter initial: The first value of each location, which every thread knows.
    init(initial: [UInt64], threads: Int) {
        let nothing = [Int](repeating: 0, count: initial.count)
        history = initial.map { [Entry(value: $0, knowledge: nothing)] }
        knowledge = .init(repeating: nothing, count: threads)
    }

    /// What is there in the end.
    func last(_ location: Int) -> UInt64 { history[location].last!.value }

    /// Everything that a load may read, and the memory after it.
    func loads(_ location: Int, by thread: Int, acquiring: Bool) -> [(value: UInt64, after: WeakMemory)] {
        (knowledge[thread][location]..<history[location].count).map { position in
            var after = self
            after.knowledge[thread][location] = position
            if acquiring { after.learn(history[location][position].knowledge, thread) }
            return (history[location][position].value, after.tidied())
        }
    }

    mutating func store(_ value: UInt64, to location: Int, by thread: Int, releasing: Bool) {
        append(value, location, thread, releasing ? knowledge[thread] : .init(repeating: 0, count: history.count))
    }

    /// An acquiring and releasing exchange: reads the last entry, and nothing comes between that and what it stores.
    mutating func exchange(_ location: Int, by thread: Int, _ change: (UInt64) -> UInt64) -> UInt64 {
        let old = history[location].last!
        learn(old.knowledge, thread)
        knowledge[thread][location] = history[location].count - 1
        append(change(old.value), location, thread, knowledge[thread])
        return old.value
    }

    private mutating func append(_ value: UInt64, _ location: Int, _ thread: Int, _ known: [Int]) {
        var entry = Entry(value: value, knowledge: known)
        entry.knowledge[location] = history[location].count
        knowledge[thread][location] = history[location].count
        history[location].append(entry)
        self = tidied()
    }

    private mutating func learn(_ other: [Int], _ thread: Int) {
        for location in other.indices {
            knowledge[thread][location] = max(knowledge[thread][location], other[location])
        }
    }

    /// Without what nobody can read any more, so that states that differ in their past only are the same.
    private func tidied() -> WeakMemory {
        var result = self
        for location in history.indices {
            let oldest = knowledge.map { $0[location] }.min()!
            guard oldest > 0 else { continue }
            result.history[location].removeFirst(oldest)
            for thread in knowledge.indices { result.knowledge[thread][location] -= oldest }
            for other in history.indices {
                for position in result.history[other].indices {
                    let known = result.history[other][position].knowledge[location]
                    result.history[other][position].knowledge[location] = max(0, known - oldest)
                }
            }
        }
        return result
    }
}
