// SPDX-License-Identifier: Apache-2.0

/// A first-in-first-out ring of work, for one thread.
struct WorkQueue {
    private var storage: ContiguousArray<WorkItem?>
    private var head = 0
    private(set) var count = 0

    init() {
        storage = ContiguousArray(repeating: nil, count: 64)
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ item: WorkItem) {
        if count == storage.count { grow() }
        storage[(head + count) & (storage.count - 1)] = item
        count += 1
    }

    mutating func popFirst() -> WorkItem? {
        guard count > 0 else { return nil }
        let item = storage[head].take()
        head = (head + 1) & (storage.count - 1)
        count -= 1
        return item
    }

    /// The capacity stays a power of two.
    private mutating func grow() {
        var larger = ContiguousArray<WorkItem?>(repeating: nil, count: storage.count * 2)
        for offset in 0..<count {
            larger[offset] = storage[(head + offset) & (storage.count - 1)]
        }
        storage = larger
        head = 0
    }
}
