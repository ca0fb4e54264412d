// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// The requests that wait, first come first served.
///
/// One line per demand, so that the first request that a member can serve is found by looking at the head of each line, and
/// not by passing ten thousand writers to find a reader; tickets give the order across lines. Leaving the middle of a line
/// is O(1) and leaves nothing behind. Deadlines are in a heap, where the usual order (later request, later deadline) costs
/// one comparison.
struct WaitQueue {
    struct Node {
        var ticket: UInt64
        var line: Int
        var previous: Int?
        var next: Int?
        var deadline: Moment
        var heapPosition: Int
        var holder: UInt
        /// The member that it would be served by if it could choose.
        var preferred: Int?
        /// The connect it counts on.
        var connect: SlotID?
        /// A connect that it counts on and that fails ends its wait, whatever the policy is and whoever asked for it.
        var failsFast = false
        /// Its own deadline, if the overload control has given it an earlier one.
        var ownDeadline: Moment?

        var isHastened: Bool { ownDeadline != nil }
    }

    struct Line {
        var demand: Demand
        var head: Int?
        var tail: Int?
        var count = 0
        /// Since when somebody has waited here without a break for a connection to come back.
        var uncoveredSince = Moment.zero
    }

    /// What a request must bring to keep its place when it comes back: its ticket.
    typealias Ticket = UInt64

    private(set) var lines: [Line] = []
    private var nodes: [Node?] = []
    private var vacant: [Int] = []
    private var heap: [Int] = []
    private var nextTicket: Ticket = 0
    private(set) var count = 0

    /// Above this many lines, empty ones at the end are forgotten: each filter may have lines of its own.
    private static let keptLines = 16

    /// Above this many places an empty queue gives its memory back.
    private static let keptCapacity = 256

    var isEmpty: Bool { count == 0 }
    /// Places reserved, taken or not; for tests that memory stays flat.
    var capacity: Int { nodes.count }

    subscript(index: Int) -> Node {
        get { nodes[index]! }
        set { nodes[index] = newValue }
    }

    func id(at index: Int) -> WaiterID { WaiterID(index: index, ticket: self[index].ticket) }
    func demand(at index: Int) -> Demand { lines[self[index].line].demand }

    func contains(_ id: WaiterID) -> Bool {
        id.index < nodes.count && nodes[id.index]?.ticket == id.ticket
    }

    /// Puts a request at the end, or, if it comes back with its `ticket`, where it was.
    mutating func enter(
        _ demand: Demand,
        preferring preferred: Int? = nil,
        deadline: Moment,
        holder: UInt,
        failsFast: Bool = false,
        ticket: Ticket? = nil
    ) -> WaiterID {
        let place = ticket ?? drawTicket()
        let line = lineIndex(for: demand)
        let index = vacant.popLast() ?? nodes.count
        if index == nodes.count { nodes.append(nil) }
        nodes[index] = Node(
            ticket: place,
            line: line,
            deadline: deadline,
            heapPosition: heap.count,
            holder: holder,
            preferred: preferred,
            failsFast: failsFast
        )
        link(index, into: line)
        heap.append(index)
        siftUp(from: heap.count - 1)
        count += 1
        return WaiterID(index: index, ticket: place)
    }

    mutating func drawTicket() -> Ticket {
        defer { nextTicket += 1 }
        return nextTicket
    }

    mutating func remove(at index: Int) {
        let node = self[index]
        unlink(index, node)
        removeFromHeap(at: node.heapPosition)
        nodes[index] = nil
        vacant.append(index)
        count -= 1
        while lines.count > Self.keptLines, lines[lines.count - 1].count == 0 { lines.removeLast() }
        if count == 0, nodes.count > Self.keptCapacity {
            nodes = []
            vacant = []
            heap = []
        }
    }

    /// Whether somebody in the line counts on no connect. Those that do are few, and at the front.
    func hasUncovered(_ line: Int, besides other: Int? = nil) -> Bool {
        var candidate = lines[line].head
        while let index = candidate, self[index].connect != nil || index == other { candidate = self[index].next }
        return candidate != nil
    }

    /// It waits for a connection to come back from now on.
    mutating func noteUncovered(_ index: Int, now: Moment) {
        let line = self[index].line
        if !hasUncovered(line, besides: index) { lines[line].uncoveredSince = now }
    }

    func uncoveredSince(_ index: Int) -> Moment { lines[self[index].line].uncoveredSince }

    /// Has it give up at `deadline`, if that is earlier than its own.
    mutating func shorten(_ index: Int, to deadline: Moment) {
        let own = self[index].deadline
        guard deadline < own else { return }
        nodes[index]!.deadline = deadline
        nodes[index]!.ownDeadline = own
        siftUp(from: self[index].heapPosition)
    }

    /// Lets it wait for as long as it wants to.
    mutating func restoreDeadline(_ index: Int) {
        guard let own = self[index].ownDeadline else { return }
        nodes[index]!.deadline = own
        nodes[index]!.ownDeadline = nil
        siftDown(from: self[index].heapPosition)
    }

    /// The waiter whose deadline is next.
    var firstDeadline: (index: Int, at: Moment)? {
        heap.first.map { ($0, self[$0].deadline) }
    }

    /// All waiters, in the order of their tickets.
    func inOrder() -> [Int] {
        nodes.indices.filter { nodes[$0] != nil }.sorted { self[$0].ticket < self[$1].ticket }
    }
}

// MARK: - Lines

extension WaitQueue {
    private mutating func lineIndex(for demand: Demand) -> Int {
        var reusable: Int?
        for index in lines.indices {
            if lines[index].demand == demand { return index }
            if lines[index].count == 0 { reusable = index }
        }
        if let reusable {
            lines[reusable] = Line(demand: demand)
            return reusable
        }
        lines.append(Line(demand: demand))
        return lines.count - 1
    }

    private mutating func link(_ index: Int, into line: Int) {
        let ticket = self[index].ticket
        var previous = lines[line].tail
        // Only a request that comes back has an old ticket; those before it are few.
        if let tail = previous, self[tail].ticket > ticket {
            previous = nil
            var candidate = lines[line].head
            while let other = candidate, self[other].ticket < ticket {
                previous = other
                candidate = self[other].next
            }
        }
        let next: Int?
        if let previous {
            next = self[previous].next
            nodes[previous]!.next = index
        } else {
            next = lines[line].head
            lines[line].head = index
        }
        if let next {
            nodes[next]!.previous = index
        } else {
            lines[line].tail = index
        }
        nodes[index]!.previous = previous
        nodes[index]!.next = next
        lines[line].count += 1
    }

    private mutating func unlink(_ index: Int, _ node: Node) {
        if let previous = node.previous {
            nodes[previous]!.next = node.next
        } else {
            lines[node.line].head = node.next
        }
        if let next = node.next {
            nodes[next]!.previous = node.previous
        } else {
            lines[node.line].tail = node.previous
        }
        lines[node.line].count -= 1
    }
}

// MARK: - Deadlines

extension WaitQueue {
    private mutating func siftUp(from start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard self[heap[position]].deadline < self[heap[parent]].deadline else { return }
            swapInHeap(position, parent)
            position = parent
        }
    }

    private mutating func siftDown(from start: Int) {
        var position = start
        while true {
            var smallest = position
            for child in [2 * position + 1, 2 * position + 2] where child < heap.count {
                if self[heap[child]].deadline < self[heap[smallest]].deadline { smallest = child }
            }
            guard smallest != position else { return }
            swapInHeap(position, smallest)
            position = smallest
        }
    }

    private mutating func swapInHeap(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        nodes[heap[a]]!.heapPosition = a
        nodes[heap[b]]!.heapPosition = b
    }

    private mutating func removeFromHeap(at position: Int) {
        let last = heap.count - 1
        if position != last { swapInHeap(position, last) }
        heap.removeLast()
        if position != last {
            siftDown(from: position)
            siftUp(from: position)
        }
    }
}
