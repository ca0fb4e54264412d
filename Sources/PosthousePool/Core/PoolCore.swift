// SPDX-License-Identifier: Apache-2.0

import Synchronization

struct Grant: Sendable {
    let occupant: Occupant
    let epoch: UInt64
    let fence: UInt64
}

final class PoolCore: Sendable {
    struct Info {
        let label: String
        let fence: MemberFence
        let configuration: PoolConfiguration
        let opener: any SlotOpener
        var lastError: (any Error)?
        var lastErrorAt: ContinuousClock.Instant?
        var occupants: [Occupant?] = []
        var connects: [SlotID: Task<Void, Never>] = [:]
    }
    enum Outcome: Sendable { case granted(SlotID), refused(PoolError.Code, (any Error)?) }
    enum Waiter { case arriving, decided(Outcome), waiting(UnsafeContinuation<Outcome, Never>) }

    struct State {
        var machine: Machine
        var infos: [Info] = []
        var waiters: [WaiterID: Waiter] = [:]
        var alarm: Task<Void, Never>?
        var closers: [UnsafeContinuation<Int, Never>] = []
        var closeResult: Int?
        var connectErrors: [SlotID: any Error] = [:]
    }

    let configuration: PoolGroupConfiguration
    let time: any TimeSource
    let observer: (any PoolObserver)?
    let state: Mutex<State>

    init(configuration: PoolGroupConfiguration, time: any TimeSource, observer: (any PoolObserver)?) {
        self.configuration = configuration
        self.time = time
        self.observer = observer
        self.state = Mutex(State(machine: Machine(policy: configuration.connectFailurePolicy, maximumWaiters: configuration.maximumWaiters, seed: configuration.seed ?? UInt64.random(in: 0...UInt64.max))))
    }

    func dropped() { terminate() }

    func addMember(label: String, configuration: PoolConfiguration, opener: any SlotOpener) -> MemberID {
        state.withLock { s in
            let index = s.machine.addMember(configuration)
            s.infos.append(Info(label: label, fence: MemberFence(label: label), configuration: configuration, opener: opener))
            return MemberID(index: index)
        }
    }

    func step(_ body: (inout State, ContinuousClock.Instant, inout [Action]) -> Void) {
        var actions: [Action] = []
        let now = time.now
        state.withLock { body(&$0, now, &actions) }
        run(actions)
    }

    func setServices(_ services: ServiceClass, for member: MemberID) {
        step { $0.machine.setServices(services, for: member.index, now: $1, &$2) }
    }
    func fence(_ member: MemberID) {
        step { s, now, a in
            s.infos[member.index].fence.raise()
            s.machine.fence(member.index, now: now, &a)
        }
    }
    func expire(_ member: MemberID) { step { $0.machine.expire(member.index, now: $1, &$2) } }
    func resize(_ member: MemberID, maximumSize: Int, hardLimit: Int) {
        step { $0.machine.resize(member.index, soft: maximumSize, hard: hardLimit, now: $1, &$2) }
    }

    func demand(_ r: AcquireRequest) -> Demand { Demand(wants: r.wants, fallback: r.fallback, member: r.member?.index) }

    func take(_ request: AcquireRequest) throws(PoolError) -> Grant? {
        while true {
            var actions: [Action] = []
            var closed = false
            let grant: Grant? = state.withLock { s in
                guard !s.machine.isClosing else { closed = true; return nil }
                var empty: Int?
                guard let slot = s.machine.takeIdle(demand(request), affinity: request.affinity, emptyHanded: &empty) else { return nil }
                if let empty { s.machine.openAhead(empty, now: time.now, &actions) }
                return Self.grant(slot, &s)
            }
            run(actions)
            if closed { throw PoolError(code: .closed, message: "the pool is closed") }
            guard let grant else { return nil }
            if accept(grant) { return grant }
        }
    }

    static func grant(_ slot: SlotID, _ s: inout State) -> Grant? {
        guard let occupant = s.infos[slot.member].occupants[slot.index] else { return nil }
        return Grant(occupant: occupant, epoch: occupant.slot.epoch.load(ordering: .relaxed), fence: s.infos[slot.member].fence.word.load(ordering: .relaxed))
    }

    func accept(_ grant: Grant) -> Bool {
        let condition = grant.occupant.condition
        if condition == .usable { return true }
        _ = grant.occupant.slot.endLease(expected: grant.epoch)
        step { $0.machine.rejected(grant.occupant.slot.id, condition, now: $1, &$2) }
        return false
    }

    func wait(for request: AcquireRequest) async throws(PoolError) -> Grant {
        let began = time.now
        let deadline = request.deadline ?? began + configuration.acquireTimeout
        while true {
            var actions: [Action] = []
            var entry: Machine.Entry = .exhausted
            var taken: Grant?
            var closed = false
            state.withLock { s in
                if s.machine.isClosing { closed = true; return }
                entry = s.machine.enter(demand(request), affinity: request.affinity, deadline: deadline, now: began, &actions)
                switch entry {
                case .taken(let slot): taken = Self.grant(slot, &s)
                case .waiting(let id): s.waiters[id] = .arriving
                case .exhausted: break
                }
            }
            run(actions)
            if closed { throw PoolError(code: .closed, message: "the pool is closed") }
            if let taken { if accept(taken) { return taken } else { continue } }
            guard case .waiting(let id) = entry else { throw PoolError(code: .exhausted, message: "too many requests wait", snapshot: snapshot()) }
            let outcome = await withTaskCancellationHandler {
                await withUnsafeContinuation { continuation in
                    let decided: Outcome? = state.withLock { s in
                        if case .decided(let o)? = s.waiters[id] { s.waiters[id] = nil; return o }
                        s.waiters[id] = .waiting(continuation)
                        return nil
                    }
                    if let decided { continuation.resume(returning: decided) }
                }
            } onCancel: {
                step { $0.machine.waiterCancelled(id, &$2); _ = $1 }
            }
            switch outcome {
            case .granted(let slot):
                let grant = state.withLock { Self.grant(slot, &$0) }
                guard let grant else { continue }
                if Task.isCancelled {
                    _ = giveBack(grant.occupant, epoch: grant.epoch)
                    throw PoolError(code: .cancelled, message: "cancelled", waited: began.duration(to: time.now))
                }
                if accept(grant) { return grant }
            case .refused(let code, let underlying):
                let snapshot = snapshot()
                throw PoolError(code: code, message: "\(code)", snapshot: snapshot, waited: began.duration(to: time.now), underlying: underlying)
            }
        }
    }

    func giveBack(_ occupant: Occupant, epoch: UInt64) -> (any Error)? {
        guard occupant.slot.endLease(expected: epoch) else { return nil }
        let condition = occupant.condition
        step { s, _, a in s.machine.returned(occupant.slot.id, condition, &a) }
        return nil
    }
    func report(_ error: any Error, of slot: PoolSlot) {}
    func claim(_ slot: PoolSlot) -> Bool { state.withLock { $0.machine.claim(slot.id) } }
    func settleClaim(_ slot: PoolSlot, _ verdict: IdleVerdict) { step { $0.machine.claimEnded(slot.id, verdict, &$2); _ = $1 } }

    func run(_ actions: [Action]) {
        for action in actions { run(action) }
    }

    func resolve(_ id: WaiterID, _ outcome: Outcome) {
        let c: UnsafeContinuation<Outcome, Never>? = state.withLock { s in
            switch s.waiters[id] {
            case .waiting(let c): s.waiters[id] = nil; return c
            case .arriving: s.waiters[id] = .decided(outcome); return nil
            default: return nil
            }
        }
        c?.resume(returning: outcome)
    }

    func run(_ action: Action) {
        switch action {
        case .grant(let w, let s): resolve(w, .granted(s))
        case .fail(let w, let refusal):
            switch refusal {
            case .timedOut: resolve(w, .refused(.timedOut, nil))
            case .cancelled: resolve(w, .refused(.cancelled, nil))
            case .closed: resolve(w, .refused(.closed, nil))
            case .connectFailed(let id): resolve(w, .refused(.connectFailed, state.withLock { $0.infos[id.member].lastError }))
            }
        case .connect(let id): connect(id)
        case .abandonConnect(let id, _): state.withLock { $0.infos[id.member].connects[id] }?.cancel()
        case .close(let id, _), .drop(let id, _):
            let o: Occupant? = state.withLock { s in defer { s.infos[id.member].occupants[id.index] = nil }; return s.infos[id.member].occupants[id.index] }
            if case .close = action { try? o?.close() }
            step { $0.machine.closed(id, now: $1, &$2) }
        case .interrupt(let id, let reason):
            state.withLock { $0.infos[id.member].occupants[id.index] }?.interrupt(reason)
        case .wake(let at):
            let task = Task { [weak self, time] in
                guard (try? await time.sleep(until: at)) != nil, let self else { return }
                self.step { $0.machine.alarmRang(now: $1, &$2) }
            }
            state.withLock { s in let old = s.alarm; s.alarm = task; return old }?.cancel()
        case .voidPermits: state.withLock { s in for i in s.infos { i.fence.terminate() } }
        case .finishClose(let n):
            let cs = state.withLock { s in s.closeResult = n; defer { s.closers = [] }; return s.closers }
            for c in cs { c.resume(returning: n) }
        case .burstStarted, .burstStopped, .limitReached: break
        }
    }

    func connect(_ id: SlotID) {
        let (opener, fence) = state.withLock { ($0.infos[id.member].opener, $0.infos[id.member].fence) }
        let slot = PoolSlot(id: id, fence: fence, core: self)
        let task = Task { [self] in
            do {
                let occupant = try await opener.open(slot)
                var known = false
                step { s, now, a in
                    while s.infos[id.member].occupants.count <= id.index { s.infos[id.member].occupants.append(nil) }
                    s.infos[id.member].connects[id] = nil
                    let before = s.infos[id.member].occupants[id.index]
                    s.infos[id.member].occupants[id.index] = occupant
                    s.infos[id.member].lastError = nil
                    known = s.machine.connected(id, affinity: occupant.affinity, now: now, &a)
                    if !known { s.infos[id.member].occupants[id.index] = before }
                }
                if !known { try? occupant.close() }
            } catch {
                step { s, now, a in
                    s.infos[id.member].connects[id] = nil
                    s.infos[id.member].lastError = error
                    s.infos[id.member].lastErrorAt = now
                    s.machine.connectFailed(id, now: now, &a)
                }
            }
        }
        state.withLock { s in if s.machine.holds(id, .connecting) { s.infos[id.member].connects[id] = task } }
    }

    func snapshot() -> PoolSnapshot {
        state.withLock { s in
            PoolSnapshot(name: configuration.name, takenAt: time.now, members: s.infos.indices.map { Self.status($0, s) }, waiting: s.machine.queue.count, isClosed: s.machine.isClosing)
        }
    }
    func activity() -> [PoolActivity] {
        state.withLock { $0.machine.members.map { PoolActivity(leased: $0.leased, endedLeases: $0.endedLeases) } }
    }
    func status(of m: MemberID) -> PoolStatus { state.withLock { Self.status(m.index, $0) } }
    static func status(_ i: Int, _ s: State) -> PoolStatus {
        let m = s.machine.members[i]
        return PoolStatus(member: MemberID(index: i), label: s.infos[i].label, serves: m.services, maximumSize: m.softLimit, burstLimit: m.hardLimit == m.softLimit ? nil : m.hardLimit, size: m.live, available: m.idle.count, leased: m.leased, connecting: m.connecting.count, closing: m.closing, waiting: 0, lastConnectError: s.infos[i].lastError, lastConnectErrorAt: s.infos[i].lastErrorAt, retryAt: m.retryAt)
    }

    func close(deadline: ContinuousClock.Instant?) async -> Int {
        step { $0.machine.close(deadline: deadline, now: $1, &$2) }
        return await withUnsafeContinuation { c in
            let n: Int? = state.withLock { s in if let r = s.closeResult { return r }; s.closers.append(c); return nil }
            if let n { c.resume(returning: n) }
        }
    }
    func terminate() { step { $0.machine.terminate(now: $1, &$2) } }
}
