// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One member's idle connections as they lie open: whoever finds a bit set takes that connection by clearing it, and gives
/// it back by setting it, with no lock.
///
/// The machine stays the authority. It lays a member's idle connections open when nothing about that member needs a
/// decision (`Machine.isCalm`), and withdraws all of them before each step. A withdrawn word refuses: then requests and
/// returns go to the lock, as if there were no other way. So a word is in one of two states:
///
/// - *open*: bit set = idle, bit clear = leased or not there. Takers clear bits, givers set them.
/// - *withdrawn*: nobody changes it but the holder of the lock. The machine knows who has what.
///
/// What makes it sound:
/// - A swap succeeds only if the word is as it was read, and each opening gives the word a new number: what was read
///   between the load and the swap (services, the fence's word) belongs to the same opening.
/// - Withdrawing is a swap too. A connection given back before it is in the bits that it returns, and its giver does
///   nothing more; whoever comes after finds the word withdrawn and goes to the lock.
/// - Connections come and go, and services and limits change, while the words are withdrawn.
///
/// Two processors that swap the same word wait for each other. So the slots of one `SlotSet` word are dealt out in turn to
/// several words, the *stripes*, and each thread begins with a stripe of its own: while there are enough idle connections,
/// threads meet at no word.
struct OpenIdle: ~Copyable {
    /// What the member serves, as of the last step.
    let services = Atomic<UInt8>(0)

    /// How many connections could still be opened within the soft limit, as of the opening; not positive while a back-off
    /// runs.
    let room = Atomic<Int>(0)

    /// How few may be idle before one is to be opened ahead of requests.
    let floor = Atomic<Int>(0)

    /// Whether a connection could be opened now.
    let canOpen = Atomic<Bool>(false)

    private let fence: MemberFence
    /// How many words of a `SlotSet` there are; each has as many stripes.
    private let wordCount: Int
    private let stripes: Stripes
    /// All stripes of the first word, then those of the second one.
    private let words: UnsafeMutablePointer<Word>

    /// The connection of each slot; kept alive by the member's places. Written while the words are withdrawn.
    private let occupants: UnsafeMutablePointer<Unmanaged<Occupant>?>

    /// Slots by affinity, a word for each word and each of a few remainders: a preference, so that mixing two up does no harm.
    private let homes: UnsafeMutablePointer<Atomic<UInt64>>

    private static let homesPerWord = 16

    /// An `OpenWord`, alone in its cache line.
    struct Word: ~Copyable {
        let bits = Atomic<UInt64>(OpenWord.withdrawn.bits)
        private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)

        /// Acquiring; for a processor of the common kinds that is a plain load.
        func load() -> OpenWord { OpenWord(bits: bits.load(ordering: .acquiring)) }

        /// Swaps `old` for `new`; if it does not succeed, `old` is what was found.
        func swap(_ old: inout OpenWord, for new: OpenWord) -> Bool {
            let (exchanged, found) = bits.weakCompareExchange(
                expected: old.bits,
                desired: new.bits,
                ordering: .acquiringAndReleasing
            )
            if !exchanged { old = OpenWord(bits: found) }
            return exchanged
        }
    }

    /// - Parameter capacity: How many slots it has words for, at the least.
    init(fence: MemberFence, capacity: Int, stripes: Stripes) {
        self.fence = fence
        self.stripes = stripes
        wordCount = max(1, (capacity + SlotSet.slotsPerWord - 1) / SlotSet.slotsPerWord)
        words = .allocate(capacity: wordCount * stripes.count)
        for index in 0..<wordCount * stripes.count { (words + index).initialize(to: Word()) }
        occupants = .allocate(capacity: wordCount * SlotSet.slotsPerWord)
        occupants.initialize(repeating: nil, count: wordCount * SlotSet.slotsPerWord)
        homes = .allocate(capacity: wordCount * Self.homesPerWord)
        for index in 0..<wordCount * Self.homesPerWord { (homes + index).initialize(to: Atomic(0)) }
    }

    deinit {
        words.deinitialize(count: wordCount * stripes.count)
        words.deallocate()
        occupants.deallocate()
        homes.deinitialize(count: wordCount * Self.homesPerWord)
        homes.deallocate()
    }

    /// How many slots it has words for.
    var capacity: Int { wordCount * SlotSet.slotsPerWord }
}

// MARK: - Without the lock

extension OpenIdle {
    /// How many connections lie open; nil if they are withdrawn.
    var count: Int? {
        var count = 0
        for index in 0..<wordCount * stripes.count {
            let word = words[index].load()
            if word.isWithdrawn { return nil }
            count += word.idle.nonzeroBitCount
        }
        return count
    }

    /// Whether fewer connections are idle than there should be, and something can be done about it.
    var isLow: Bool {
        let floor = floor.load(ordering: .relaxed)
        return floor > 0 && (count ?? floor) < floor
    }

    /// Takes an idle connection, one of this affinity if there is one. One swap, if nobody interferes.
    ///
    /// - Returns: nil if there is none, or if the machine has to decide.
    @inline(__always)
    func take(for wanted: ServiceClass, affinity: Int, holder: UInt) -> Grant? {
        if affinity != 0, let grant = take(for: wanted, home: affinity, holder) { return grant }
        return take(for: wanted, home: 0, holder)
    }

    @inline(__always)
    private func take(for wanted: ServiceClass, home: Int, _ holder: UInt) -> Grant? {
        let first = stripes.ofThread
        for turn in 0..<wordCount * stripes.count {
            let index = stripes.index(turn, from: first)
            let position = stripes.word(of: index)
            var word = words[index].load()
            let eligible = home == 0 ? .max : homes[row(position, home)].load(ordering: .relaxed)
            while let (next, slot) = word.taking(from: eligible) {
                // Both belong to the opening that the swap finds unchanged: not to an earlier one, because the word was
                // acquired, nor to a later one, because whoever acquires what came after a withdrawal finds that too.
                if ServiceClass(rawValue: services.load(ordering: .acquiring)).isDisjoint(with: wanted) { return nil }
                let fence = fence.word.load(ordering: .acquiring)
                guard words[index].swap(&word, for: next) else { continue }
                // There while its bit can be set.
                let occupant = occupants[position * SlotSet.slotsPerWord + slot]!
                let epoch = occupant._withUnsafeGuaranteedRef { occupant in
                    occupant.slot.holder.store(holder, ordering: .relaxed)
                    return occupant.slot.epoch.load(ordering: .relaxed)
                }
                return Grant(occupant: occupant, epoch: epoch, fence: fence)
            }
        }
        return nil
    }

    /// Lays a connection open again that was leased. One swap, if nobody interferes.
    ///
    /// Neither the connection nor the word is touched after the swap that succeeds: with it others may close the one and,
    /// if the pool ends, free the other.
    ///
    /// - Returns: false if the machine has to decide what becomes of it.
    @inline(__always)
    static func give(_ occupant: Unmanaged<Occupant>) -> Bool {
        let (home, slot) = occupant._withUnsafeGuaranteedRef { occupant in
            (occupant.slot.word.load(ordering: .acquiring), occupant.slot.id.index % SlotSet.slotsPerWord)
        }
        guard let home else { return false }
        var word = home.pointee.load()
        // Of the same opening as the word, or the swap fails.
        while occupant._withUnsafeGuaranteedRef({ $0.slot.mayLieOpen }), let next = word.giving(slot) {
            if home.pointee.swap(&word, for: next) { return true }
        }
        return false
    }
}

// MARK: - Under the lock

extension OpenIdle {
    /// Takes back what lies open, word by word. The result lies open no more.
    func withdraw(_ body: (_ word: Int, _ idle: UInt64) -> Void) {
        for position in 0..<wordCount {
            var idle: UInt64 = 0
            for index in stripes.indices(of: position) {
                var word = words[index].load()
                while !words[index].swap(&word, for: word.withdrawing()) {}
                idle |= word.idle
            }
            body(position, idle)
        }
    }

    /// What lies open at this moment.
    func look(_ body: (_ word: Int, _ idle: UInt64) -> Void) {
        for position in 0..<wordCount {
            body(position, stripes.indices(of: position).reduce(0) { $0 | words[$1].load().idle })
        }
    }

    /// What the member serves from now on, whether it is laid open or not: whoever would ask it goes to the lock while it
    /// is withdrawn, and whoever would not need not.
    func note(_ services: ServiceClass) { self.services.store(services.rawValue, ordering: .releasing) }

    /// Lays open what is idle, under a new number.
    func open(_ member: Member, _ idle: (_ word: Int) -> UInt64) {
        room.store(member.retryAt == nil ? member.softLimit - member.sockets : 0, ordering: .relaxed)
        canOpen.store(member.canOpen, ordering: .relaxed)
        floor.store(member.idleFloor, ordering: .relaxed)
        for position in 0..<wordCount {
            let idle = idle(position)
            for index in stripes.indices(of: position) {
                let next = words[index].load().opening(idle & stripes.slots(of: index))
                words[index].bits.store(next.bits, ordering: .releasing)
            }
        }
    }

    /// The slot's connection; nil when it is gone.
    func settle(_ occupant: Occupant?, in slot: Int) {
        precondition(slot < capacity)
        let before = occupants[slot]
        occupants[slot] = occupant.map { Unmanaged.passUnretained($0) }
        let bit: UInt64 = 1 << UInt64(slot % SlotSet.slotsPerWord)
        let position = slot / SlotSet.slotsPerWord
        if let before {
            let home = before._withUnsafeGuaranteedRef { $0.affinity }
            homes[row(position, home)].bitwiseAnd(~bit, ordering: .relaxed)
        }
        guard let occupant else { return }
        homes[row(position, occupant.affinity)].bitwiseOr(bit, ordering: .relaxed)
        occupant.slot.word.store(words + stripes.index(of: slot), ordering: .releasing)
    }

    private func row(_ position: Int, _ home: Int) -> Int {
        position * Self.homesPerWord + Int(UInt(bitPattern: home) % UInt(Self.homesPerWord))
    }
}
