// SPDX-License-Identifier: Apache-2.0

@testable import PosthousePool

/// The protocol of open idle connections, operation by operation, to be explored in all interleavings.
///
/// The word's transitions are the product's own (`OpenWord`); the order of the operations is that of `OpenIdle`,
/// `PoolCore+Acquire` and `PoolCore+Open`. Of the machine there is as much as the protocol needs: who is idle, leased, waits;
/// what is stale; whether it is closed.
struct OpenProtocol: Hashable {
    /// Left out on purpose, to see that it is missed.
    enum Mutation: CaseIterable {
        /// Openings have no number.
        case noNumber
        /// The fence is read after the swap.
        case fenceReadLate
        /// The word is read without acquiring it, so that the fence that is read may be an older one.
        case wordReadRelaxed
        /// The word is withdrawn by a load and a store.
        case withdrawnWithoutSwap
        /// The word is laid open without releasing it.
        case openedRelaxed
        /// A connection is given back to a withdrawn word.
        case givenAlthoughWithdrawn
        /// The word is laid open although somebody waits.
        case openedForWaiters
        /// The word is laid open although more connections are there than may stay.
        case openedAboveTheLimit
        /// Who holds a stale connection is not told.
        case staleNotMarked
        /// Whether a connection is stale is asked before the word is read.
        case staleReadEarly
        /// The word stays open during a step.
        case notWithdrawn
    }

    /// What a thread does, from beginning to end.
    enum Job: Hashable {
        /// Takes a connection, or waits for one; looks at its permit; gives it back.
        case use
        /// Takes a connection if it gets one, or waits; gives up waiting at any time.
        case useOrCancel
        /// Fences the member, then opens a new connection and has it serve again.
        case fence
        /// Opens one more connection.
        case connect
        /// Makes the pool smaller: one connection stays.
        case resize
        /// Refuses all that wait and closes what is idle.
        case close
    }

    /// Where things are in memory; behind these, for each slot, its connection and whether that is stale.
    private enum Place {
        static let word = 0, lock = 1, fence = 2

        static func connection(_ slot: Int) -> Int { 3 + 2 * slot }
        static func isStale(_ slot: Int) -> Int { 4 + 2 * slot }
    }

    /// A connection: which one, and how often the member had been fenced when it was opened.
    struct Connection: Hashable {
        let number: Int
        let generation: Int

        init(number: Int, generation: Int) {
            self.number = number
            self.generation = generation
        }

        var bits: UInt64 { UInt64(number) << 8 | UInt64(generation) }
        init(bits: UInt64) { self.init(number: Int(bits >> 8), generation: Int(bits & 255)) }
    }

    struct Lease: Hashable {
        let slot: Int
        let connection: Connection
        let fence: UInt64
    }

    private enum Step: Hashable {
        case start
        case readFence(OpenWord)
        case swap(OpenWord, fence: UInt64)
        case readConnection(slot: Int, fence: UInt64)
        case readFenceLate(slot: Int, Connection)
        case lock(Event)
        case withdraw(Event)
        case withdrawStore(Event, OpenWord)
        case run(Event)
        case raise(Event)
        case open(after: Next)
        case unlock(Next)
        case wait
        case use(Lease)
        case give(Lease)
        case readStale(Lease, OpenWord?)
        case readWordLate(Lease)
        case swapBack(Lease, OpenWord)
        case done
    }

    private enum Event: Hashable { case take, give(Lease), cancel, fence, connect, resize, close }

    /// What comes after a step of the machine.
    private enum Next: Hashable { case use(Lease), wait, reconnect, end }

    private struct Thread: Hashable {
        let job: Job
        var step = Step.start
    }

    private struct Machine: Hashable {
        var idle: UInt64 = 0
        var leased: UInt64 = 0
        var connections: [Connection?]
        var waiters: [Int] = []
        var granted: [Int: Lease] = [:]
        var refused: Set<Int> = []
        var generation = 0
        var limit: Int
        var isClosed = false
        var isOpen = false
        var opened: Int
    }

    private var memory: WeakMemory
    private var threads: [Thread]
    private var machine: Machine
    private let mutation: Mutation?
    private(set) var violation: String?

    /// - Parameters:
    ///   - connections: How many are idle at the beginning.
    ///   - slots: How many there could be.
    init(_ jobs: [Job], connections: Int, slots: Int, mutation: Mutation? = nil) {
        let all: [Connection?] = (0..<slots).map { $0 < connections ? Connection(number: $0, generation: 0) : nil }
        let idle: UInt64 = (1 << UInt64(connections)) - 1
        memory = WeakMemory(
            initial: [OpenWord.withdrawn.opening(idle).bits, 0, 0] + all.flatMap { [$0?.bits ?? 0, 0] },
            threads: jobs.count
        )
        threads = jobs.map { Thread(job: $0) }
        machine = Machine(idle: idle, connections: all, limit: slots, isOpen: true, opened: connections)
        self.mutation = mutation
    }

    var isDone: Bool { threads.allSatisfy { $0.step == .done } }

    /// What is wrong in the end.
    var finalViolation: String? {
        if let violation { return violation }
        for (index, thread) in threads.enumerated() where thread.step != .done {
            return "thread \(index) (\(thread.job)) never ends: \(thread.step)"
        }
        let word = OpenWord(bits: memory.last(Place.word))
        let idle = machine.isOpen ? word.idle : machine.idle
        let there = machine.connections.indices.reduce(UInt64(0)) {
            machine.connections[$1] == nil ? $0 : $0 | 1 << UInt64($1)
        }
        if idle != there { return "idle in the end: \(idle), there: \(there)" }
        if there.nonzeroBitCount > machine.limit { return "\(there) open, \(machine.limit) may be" }
        if machine.isClosed, there != 0 { return "open connections of a closed pool: \(there)" }
        for case let connection? in machine.connections where connection.generation != machine.generation {
            return "\(connection) is stale and stayed"
        }
        return nil
    }

    /// All that can happen next.
    func successors() -> [OpenProtocol] {
        threads.indices.flatMap { step($0) }
    }
}

// MARK: - Steps

extension OpenProtocol {
    private func moved(_ thread: Int, _ step: Step, _ memory: WeakMemory? = nil) -> OpenProtocol {
        var next = self
        if let memory { next.memory = memory }
        next.threads[thread].step = step
        return next
    }

    private func step(_ thread: Int) -> [OpenProtocol] {
        switch threads[thread].step {
        case .start:
            switch threads[thread].job {
            case .use, .useOrCancel:
                let isAcquiring = mutation != .wordReadRelaxed
                return memory.loads(Place.word, by: thread, acquiring: isAcquiring).map { value, after in
                    moved(thread, afterLoad(OpenWord(bits: value)), after)
                }
            case .fence: return [moved(thread, .lock(.fence))]
            case .connect: return [moved(thread, .lock(.connect))]
            case .resize: return [moved(thread, .lock(.resize))]
            case .close: return [moved(thread, .lock(.close))]
            }
        case .readFence(let word):
            return memory.loads(Place.fence, by: thread, acquiring: true).map { value, after in
                moved(thread, .swap(word, fence: value), after)
            }
        case .swap(let word, let fence):
            var after = memory
            let found = after.exchange(Place.word, by: thread) { bits in
                bits == word.bits ? word.taking(from: .max)!.next.bits : bits
            }
            guard found == word.bits else { return [moved(thread, afterLoad(OpenWord(bits: found)), after)] }
            return [moved(thread, .readConnection(slot: word.taking(from: .max)!.slot, fence: fence), after)]
        case .readConnection(let slot, let fence):
            return memory.loads(Place.connection(slot), by: thread, acquiring: false).map { value, after in
                let connection = Connection(bits: value)
                if mutation == .fenceReadLate { return moved(thread, .readFenceLate(slot: slot, connection), after) }
                return taken(thread, Lease(slot: slot, connection: connection, fence: fence), after)
            }
        case .readFenceLate(let slot, let connection):
            return memory.loads(Place.fence, by: thread, acquiring: true).map { value, after in
                taken(thread, Lease(slot: slot, connection: connection, fence: value), after)
            }
        case .use(let lease): return [moved(thread, .give(lease))]
        case .give(let lease):
            if mutation == .staleReadEarly { return [moved(thread, .readStale(lease, nil))] }
            return memory.loads(Place.word, by: thread, acquiring: true).map { value, after in
                moved(thread, .readStale(lease, OpenWord(bits: value)), after)
            }
        case .readStale(let lease, let word):
            return memory.loads(Place.isStale(lease.slot), by: thread, acquiring: false).map { value, after in
                if value != 0 { return moved(thread, .lock(.give(lease)), after) }
                return moved(thread, word.map { .swapBack(lease, $0) } ?? .readWordLate(lease), after)
            }
        case .readWordLate(let lease):
            return memory.loads(Place.word, by: thread, acquiring: true).map { value, after in
                moved(thread, .swapBack(lease, OpenWord(bits: value)), after)
            }
        case .swapBack(let lease, let word): return [swapBack(thread, lease, word)]
        case .wait: return wake(thread)
        case .done: return []
        default: return underLock(thread)
        }
    }

    private func afterLoad(_ word: OpenWord) -> Step {
        word.taking(from: .max) == nil ? .lock(.take) : .readFence(word)
    }

    private func taken(_ thread: Int, _ lease: Lease, _ after: WeakMemory) -> OpenProtocol {
        var next = moved(thread, .use(lease), after)
        next.check(lease, of: thread)
        return next
    }

    private mutating func check(_ lease: Lease, of thread: Int) {
        if machine.connections[lease.slot] != lease.connection {
            violation = "thread \(thread) got \(lease.connection), but slot \(lease.slot) holds something else"
        }
        for (other, state) in threads.enumerated() where other != thread {
            switch state.step {
            case .use(let theirs), .give(let theirs), .readStale(let theirs, _), .readWordLate(let theirs),
                .swapBack(let theirs, _):
                if theirs.slot == lease.slot { violation = "threads \(thread) and \(other) hold slot \(lease.slot)" }
            default: break
            }
        }
        if lease.connection.generation < Int(lease.fence) {
            violation = "thread \(thread) has a valid permit for a connection from before the fence"
        }
        if lease.connection.generation > Int(lease.fence) {
            violation = "thread \(thread) has a permit that was never valid"
        }
    }

    private func swapBack(_ thread: Int, _ lease: Lease, _ word: OpenWord) -> OpenProtocol {
        var after = memory
        var given = word.giving(lease.slot)
        if mutation == .givenAlthoughWithdrawn { given = given ?? OpenWord(bits: word.bits | 1 << UInt64(lease.slot)) }
        guard let given else { return moved(thread, .lock(.give(lease))) }
        let found = after.exchange(Place.word, by: thread) { $0 == word.bits ? given.bits : $0 }
        if found == word.bits { return moved(thread, .done, after) }
        return moved(thread, .readStale(lease, OpenWord(bits: found)), after)
    }

    private func wake(_ thread: Int) -> [OpenProtocol] {
        if let lease = machine.granted[thread] {
            var next = moved(thread, .use(lease))
            next.machine.granted[thread] = nil
            next.check(lease, of: thread)
            return [next]
        }
        if machine.refused.contains(thread) { return [moved(thread, .done)] }
        return threads[thread].job == .useOrCancel ? [moved(thread, .lock(.cancel))] : []
    }
}

// MARK: - Under the lock

extension OpenProtocol {
    private func underLock(_ thread: Int) -> [OpenProtocol] {
        switch threads[thread].step {
        case .lock(let event):
            guard memory.last(Place.lock) == 0 else { return [] }
            var after = memory
            _ = after.exchange(Place.lock, by: thread) { _ in 1 }
            return [moved(thread, .withdraw(event), after)]
        case .withdraw(let event):
            guard machine.isOpen, mutation != .notWithdrawn else { return [moved(thread, .run(event))] }
            if mutation == .withdrawnWithoutSwap {
                return memory.loads(Place.word, by: thread, acquiring: true).map { value, after in
                    moved(thread, .withdrawStore(event, OpenWord(bits: value)), after)
                }
            }
            var after = memory
            let old = OpenWord(bits: after.exchange(Place.word, by: thread) { OpenWord(bits: $0).withdrawing().bits })
            return [moved(thread, .run(event), after).caughtUp(old)]
        case .withdrawStore(let event, let old):
            var after = memory
            after.store(old.withdrawing().bits, to: Place.word, by: thread, releasing: true)
            return [moved(thread, .run(event), after).caughtUp(old)]
        case .run(let event):
            var next = self
            next.run(event, thread)
            return [next]
        case .raise:
            var after = memory
            _ = after.exchange(Place.fence, by: thread) { $0 + 1 }
            return [moved(thread, .open(after: .reconnect), after)]
        case .open(let following):
            guard isCalm else { return [moved(thread, .unlock(following))] }
            var next = moved(thread, .unlock(following))
            var word = OpenWord(bits: memory.last(Place.word)).opening(machine.idle)
            if mutation == .noNumber { word = OpenWord.withdrawn.opening(machine.idle) }
            if mutation != .staleNotMarked { next.markStale(by: thread) }
            next.memory.store(word.bits, to: Place.word, by: thread, releasing: mutation != .openedRelaxed)
            next.machine.isOpen = true
            return [next]
        case .unlock(let following):
            var next = self
            next.memory.store(0, to: Place.lock, by: thread, releasing: true)
            switch following {
            case .use(let lease):
                next.threads[thread].step = .use(lease)
                next.check(lease, of: thread)
            case .wait: next.threads[thread].step = .wait
            case .reconnect: next.threads[thread].step = .lock(.connect)
            case .end: next.threads[thread].step = .done
            }
            return [next]
        default: return []
        }
    }

    private var isCalm: Bool {
        !machine.isClosed && (machine.waiters.isEmpty || mutation == .openedForWaiters)
            && (live <= machine.limit || mutation == .openedAboveTheLimit)
    }

    private var live: Int { machine.connections.count { $0 != nil } }

    private mutating func markStale(by thread: Int) {
        for slot in machine.connections.indices where machine.leased & 1 << UInt64(slot) != 0 {
            guard machine.connections[slot]?.generation != machine.generation else { continue }
            memory.store(1, to: Place.isStale(slot), by: thread, releasing: false)
        }
    }

    private func caughtUp(_ word: OpenWord) -> OpenProtocol {
        var next = self
        next.machine.isOpen = false
        let there = machine.idle | machine.leased
        next.machine.idle = word.idle
        next.machine.leased = there & ~word.idle
        return next
    }

    private mutating func run(_ event: Event, _ thread: Int) {
        var following = Next.end
        switch event {
        case .take:
            if machine.isClosed {
                following = .end
            } else if machine.idle != 0 {
                let slot = machine.idle.trailingZeroBitCount
                machine.idle &= machine.idle - 1
                machine.leased |= 1 << UInt64(slot)
                following = .use(lease(slot))
            } else {
                machine.waiters.append(thread)
                following = .wait
            }
        case .give(let lease):
            machine.leased &= ~(1 << UInt64(lease.slot))
            if machine.isClosed || lease.connection.generation != machine.generation || live > machine.limit {
                machine.connections[lease.slot] = nil
            } else {
                settle(lease.slot)
            }
        case .cancel:
            if machine.granted[thread] != nil {
                following = .wait
            } else {
                machine.waiters.removeAll { $0 == thread }
            }
        case .fence:
            machine.generation += 1
            closeIdle()
            threads[thread].step = .raise(event)
            return
        case .connect:
            guard !machine.isClosed, live < machine.limit, let slot = machine.connections.firstIndex(of: nil)
            else { break }
            let connection = Connection(number: machine.opened, generation: machine.generation)
            machine.opened += 1
            machine.connections[slot] = connection
            memory.store(connection.bits, to: Place.connection(slot), by: thread, releasing: false)
            memory.store(0, to: Place.isStale(slot), by: thread, releasing: false)
            settle(slot)
        case .resize:
            machine.limit = 1
            while live > machine.limit, machine.idle != 0 {
                let slot = UInt64.bitWidth - 1 - machine.idle.leadingZeroBitCount
                machine.connections[slot] = nil
                machine.idle &= ~(1 << UInt64(slot))
            }
        case .close:
            machine.isClosed = true
            machine.refused.formUnion(machine.waiters)
            machine.waiters = []
            closeIdle()
        }
        threads[thread].step = .open(after: following)
    }

    private func lease(_ slot: Int) -> Lease {
        Lease(slot: slot, connection: machine.connections[slot]!, fence: memory.last(Place.fence))
    }

    private mutating func settle(_ slot: Int) {
        if machine.waiters.isEmpty {
            machine.idle |= 1 << UInt64(slot)
        } else {
            machine.leased |= 1 << UInt64(slot)
            machine.granted[machine.waiters.removeFirst()] = lease(slot)
        }
    }

    private mutating func closeIdle() {
        for slot in machine.connections.indices where machine.idle & 1 << UInt64(slot) != 0 {
            machine.connections[slot] = nil
        }
        machine.idle = 0
    }
}
