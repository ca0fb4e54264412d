// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// Does what was put on the agenda, when its time has come.
protocol Errand: AnyObject, Sendable {
    /// - Parameter token: What was put on the agenda with it.
    func run(_ token: UInt64)
}

/// What happens when: a heap by time; among what happens at the same time the seed chooses.
struct Agenda {
    struct Entry {
        /// Nanoseconds.
        let at: Int64
        let tie: UInt64
        let errand: any Errand
        let token: UInt64

        func isBefore(_ other: Entry) -> Bool { at != other.at ? at < other.at : tie < other.tie }
    }

    private var heap: [Entry] = []
    private var draws: SplitMix64

    init(seed: UInt64) {
        draws = SplitMix64(seed: seed)
    }

    var count: Int { heap.count }
    var next: Entry? { heap.first }

    mutating func add(_ errand: any Errand, token: UInt64, at: Int64) {
        heap.append(Entry(at: at, tie: draws.next(), errand: errand, token: token))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeNext() -> Entry? {
        guard let last = heap.popLast() else { return nil }
        guard let first = heap.first else { return last }
        heap[0] = last
        sink(0)
        return first
    }

    /// Forgets what is not wanted any more.
    mutating func remove(where isObsolete: (Entry) -> Bool) {
        heap.removeAll(where: isObsolete)
        for index in stride(from: heap.count / 2, through: 0, by: -1) where index < heap.count { sink(index) }
    }

    private mutating func sink(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            let left = 2 * parent + 1
            if left < heap.count, heap[left].isBefore(heap[least]) { least = left }
            if left + 1 < heap.count, heap[left + 1].isBefore(heap[least]) { least = left + 1 }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
