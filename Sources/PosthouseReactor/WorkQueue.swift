// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A first-in-first-out ring of work.
///
/// Not synchronised: only the loop's own thread calls any method but ``length``. (`EventLoop.submit` checks that; the run
/// loop is that thread.) An object of its own, so that no other thread touches even its first word.
final class WorkQueue: @unchecked Sendable {
    private var storage: ContiguousArray<WorkItem?>
    private var head = 0
    private var count = 0

    /// How many items there are, for any thread.
    let length = Atomic<Int>(0)

    init() {
        storage = ContiguousArray(repeating: nil, count: 64)
    }

    var isEmpty: Bool { count == 0 }

    func append(_ item: WorkItem) {
        if count == storage.count { grow() }
        storage[(head + count) & (storage.count - 1)] = item
        count += 1
        length.store(count, ordering: .relaxed)
    }

    func popFirst() -> WorkItem? {
        guard count > 0 else { return nil }
        let item = storage[head].take()
        head = (head + 1) & (storage.count - 1)
        count -= 1
        length.store(count, ordering: .relaxed)
        return item
    }

    /// The capacity stays a power of two.
    private func grow() {
        var larger = ContiguousArray<WorkItem?>(repeating: nil, count: storage.count * 2)
        for offset in 0..<count {
            larger[offset] = storage[(head + offset) & (storage.count - 1)]
        }
        storage = larger
        head = 0
    }
}
