// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The registrations of one loop. Lives under the loop's lock; its system calls run under that lock too, so that table
/// and kernel agree.
///
/// The kernel is given a token, slot and generation, never an address: a socket that libpq closed can outlive its
/// descriptor (a child process between fork and exec holds it) and report events when its registration is long gone.
struct SocketTable {
    private struct Slot {
        var watch: SocketWatch?
        var descriptor: Int32 = -1
        var watchesWriting = false
        /// Grows with each socket that uses the slot.
        var generation: UInt32 = 0

        mutating func nextGeneration() {
            generation = (generation + 1) % RegistrationWord.generationLimit
        }
    }

    private var slots: ContiguousArray<Slot> = []
    private var vacant: [Int] = []

    /// Which slot's socket has this number now. A number that libpq closed behind our back may belong to another
    /// registration by the time the first one lets go of it; only its present owner may remove it from epoll.
    private var owners: [Int32: Int] = [:]

    private(set) var isClosed = false

    /// Sockets registered.
    var count: Int { slots.count - vacant.count }

    /// All registrations.
    var watches: ContiguousArray<SocketWatch> {
        ContiguousArray(slots.lazy.compactMap(\.watch))
    }

    /// The registration that a token of the kernel means, unless it is gone.
    func watch(for token: UInt64) -> (watch: SocketWatch, generation: UInt32)? {
        let index = Int(truncatingIfNeeded: token >> 24)
        guard slots.indices.contains(index), let watch = slots[index].watch else { return nil }
        let generation = UInt32(token & 0xFF_FFFF)
        return slots[index].generation == generation ? (watch, generation) : nil
    }

    mutating func register(
        _ descriptor: Int32,
        with poller: Poller,
        onIdleEvent: (@Sendable (Readiness) -> Void)?
    ) throws(ReactorError) -> SocketWatch {
        guard !isClosed else { throw ReactorError(.shutDown, operation: "register") }
        let index: Int
        if let last = vacant.popLast() {
            index = last
        } else {
            index = slots.count
            slots.append(Slot())
        }
        slots[index].nextGeneration()
        let watch = SocketWatch(slot: index, generation: slots[index].generation, idleCallback: onIdleEvent)
        slots[index].watch = watch
        let result = poller.add(descriptor, watchingWrites: false, token: token(of: index))
        guard result == 0 else {
            vacate(index)
            throw ReactorError(errorNumber: -result, operation: "epoll_ctl(ADD, \(descriptor))")
        }
        slots[index].descriptor = descriptor
        owners[descriptor] = index
        return watch
    }

    /// The registration gets another socket, perhaps of the same number.
    ///
    /// - Returns: whether the idle callback was running at that moment.
    mutating func replace(
        _ watch: SocketWatch,
        with descriptor: Int32,
        poller: Poller
    ) throws(ReactorError) -> Bool {
        let index = watch.slot
        guard !isClosed, slots[index].watch === watch else { throw ReactorError(.shutDown, operation: "replace") }
        release(index, poller: poller)
        slots[index].nextGeneration()
        let wasCalling = watch.replace(generation: slots[index].generation)
        let watchesWriting = slots[index].watchesWriting
        let result = poller.add(descriptor, watchingWrites: watchesWriting, token: token(of: index))
        guard result == 0 else {
            throw ReactorError(errorNumber: -result, operation: "epoll_ctl(ADD, \(descriptor))")
        }
        slots[index].descriptor = descriptor
        owners[descriptor] = index
        return wasCalling
    }

    /// Asks the kernel to report, or not to report any more, when writing becomes possible.
    ///
    /// Off except while somebody waits for it: on a Unix socket the kernel reports "writable" whenever the peer has read
    /// something, which would wake the loop twice per query.
    ///
    /// - Returns: false if there is no such socket any more.
    mutating func setWatchesWriting(_ watches: Bool, of watch: SocketWatch, poller: Poller) -> Bool {
        let index = watch.slot
        guard !isClosed, slots[index].watch === watch else { return true }
        guard slots[index].watchesWriting != watches else { return true }
        slots[index].watchesWriting = watches
        watch.noteWatchingWrites(watches)
        return poller.modify(slots[index].descriptor, watchingWrites: watches, token: token(of: index)) == 0
    }

    /// Gives a registration up; nothing if it is gone already.
    mutating func remove(_ watch: SocketWatch, poller: Poller) {
        guard !isClosed, slots[watch.slot].watch === watch else { return }
        release(watch.slot, poller: poller)
        vacate(watch.slot)
    }

    /// Gives all registrations up for good, and returns them.
    mutating func close() -> ContiguousArray<SocketWatch> {
        let last = watches
        self = SocketTable()
        isClosed = true
        return last
    }

    private mutating func release(_ index: Int, poller: Poller) {
        let descriptor = slots[index].descriptor
        slots[index].descriptor = -1
        guard owners[descriptor] == index else { return }
        owners[descriptor] = nil
        poller.remove(descriptor)
    }

    private mutating func vacate(_ index: Int) {
        slots[index].watch = nil
        slots[index].watchesWriting = false
        vacant.append(index)
    }

    private func token(of index: Int) -> UInt64 {
        UInt64(index) << 24 | UInt64(slots[index].generation)
    }
}
