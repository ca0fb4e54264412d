// SPDX-License-Identifier: Apache-2.0

/// One thing to do on a loop's thread.
enum WorkItem: Sendable {
    case job(UnownedJob)
    case closure(@Sendable () -> Void)
}

/// What other threads put down for a loop. Lives under a lock.
struct Mailbox {
    private var items: ContiguousArray<WorkItem> = []
    private var shutdownWaiters: [UnsafeContinuation<Void, Never>] = []

    /// Somebody called for the loop's end.
    private(set) var isShuttingDown = false

    /// Nothing is taken any more.
    private var isClosed = false

    /// The loop has ended.
    private var isFinished = false

    var count: Int { items.count }

    /// - Returns: false if the loop has ended.
    mutating func post(_ item: WorkItem) -> Bool {
        guard !isClosed else { return false }
        items.append(item)
        return true
    }

    /// Exchanges the items for an empty buffer, so that two buffers serve forever.
    mutating func take(into buffer: inout ContiguousArray<WorkItem>) {
        swap(&items, &buffer)
    }

    /// - Returns: false if the loop has ended; the caller need not wait.
    mutating func requestShutdown(_ waiter: UnsafeContinuation<Void, Never>) -> Bool {
        guard !isFinished else { return false }
        isShuttingDown = true
        shutdownWaiters.append(waiter)
        return true
    }

    /// - Returns: the items that are left.
    mutating func close() -> ContiguousArray<WorkItem> {
        isClosed = true
        let left = items
        items = []
        return left
    }

    /// - Returns: who waited for it.
    mutating func finish() -> [UnsafeContinuation<Void, Never>] {
        isFinished = true
        let waiters = shutdownWaiters
        shutdownWaiters = []
        return waiters
    }
}
