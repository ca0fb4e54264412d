// SPDX-License-Identifier: Apache-2.0
import CReactor
import Glibc

/// The two descriptors of a loop: epoll, and the eventfd that interrupts its sleep.
struct Poller: Sendable {
    private let epoll: Int32
    private let doorbell: Int32

    /// What the kernel reports for the doorbell. Sockets' tokens never reach it.
    static let doorbellToken = UInt64.max

    init() throws(ReactorError) {
        let epoll = creactor_epoll_create()
        guard epoll >= 0 else { throw ReactorError(errorNumber: -epoll, operation: "epoll_create1") }
        let doorbell = creactor_eventfd_create()
        guard doorbell >= 0 else {
            close(epoll)
            throw ReactorError(errorNumber: -doorbell, operation: "eventfd")
        }
        self.epoll = epoll
        self.doorbell = doorbell
        // Edge-triggered, so that each ring is one event and the count need not be read back.
        let events = EPOLLIN.rawValue | EPOLLET.rawValue
        let result = creactor_epoll_control(epoll, EPOLL_CTL_ADD, doorbell, events, Self.doorbellToken)
        guard result == 0 else {
            closeDescriptors()
            throw ReactorError(errorNumber: -result, operation: "epoll_ctl(ADD, eventfd)")
        }
    }

    /// Interrupts the sleep in progress.
    func ring() {
        // Fails only when 2^64 rings were not read, or the descriptor is not ours any more; neither can be.
        _ = creactor_eventfd_signal(doorbell)
    }

    /// Waits until `count` rings have arrived in all, so that nobody still holds the descriptor in a system call.
    func awaitRings(_ count: UInt64) {
        var arrived: UInt64 = 0
        while arrived < count {
            var more: UInt64 = 0
            guard creactor_eventfd_take(doorbell, &more) == 0 else { return }
            arrived += more
        }
    }

    func closeDescriptors() {
        close(doorbell)
        close(epoll)
    }

    /// Starts to watch a socket.
    func add(_ descriptor: Int32, watchingWrites: Bool, token: UInt64) -> Int32 {
        creactor_epoll_control(epoll, EPOLL_CTL_ADD, descriptor, Self.events(watchingWrites), token)
    }

    /// Changes what is watched. The kernel looks at the socket again, so what is ready already is reported.
    func modify(_ descriptor: Int32, watchingWrites: Bool, token: UInt64) -> Int32 {
        creactor_epoll_control(epoll, EPOLL_CTL_MOD, descriptor, Self.events(watchingWrites), token)
    }

    /// Stops watching a socket; no matter if it was closed before.
    func remove(_ descriptor: Int32) {
        _ = creactor_epoll_control(epoll, EPOLL_CTL_DEL, descriptor, 0, 0)
    }

    /// Waits at most so many nanoseconds (negative: without end). An interrupted wait has no events.
    func wait(_ events: UnsafeMutableBufferPointer<epoll_event>, nanoseconds: Int64) -> Int {
        let count = creactor_epoll_wait(epoll, events.baseAddress, Int32(events.count), nanoseconds)
        return max(0, Int(count))
    }

    private static func events(_ watchingWrites: Bool) -> UInt32 {
        creactor_watched | (watchingWrites ? creactor_writable : 0)
    }
}

extension Readiness {
    /// From the event bits of epoll.
    init(events: UInt32) {
        var readiness: Readiness = []
        if events & creactor_readable != 0 { readiness.insert(.read) }
        if events & creactor_writable != 0 { readiness.insert(.write) }
        if events & creactor_hangup != 0 { readiness.formUnion([.read, .write, .hangup]) }
        self = readiness
    }
}
