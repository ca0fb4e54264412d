// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization

/// What becomes of a request that waited.
enum Outcome: Sendable {
    case granted(Grant)
    case refused(Refusal)

    enum Refusal: Sendable {
        /// `held` leases of this pool were taken by the same task.
        case timedOut(held: Int)
        case cancelled
        case closed
        case exhausted
        case overloaded
        case connectFailed(PoolMember, any Error)
        case unavailable(PoolMember, (any Error)?)
        case removed(PoolMember)
        case hookFailed(PoolMember, any Error)
    }
}

/// What is to be done outside the lock.
enum Effect: Sendable {
    case decide(Promise<Outcome>, Outcome)
    case connect(SlotID, any SlotOpener, MemberFence, SlotTerms, Work)
    case tend(Occupant, Tending, Work)
    case leaked(LeaseReport)
    case broken(PoolMember)
    case repaired(PoolMember)
    case cancel(Task<Void, Never>)
    case cancelWork(Work)
    case close(Occupant, CloseReason, dropping: Bool)
    case interrupt(Occupant, InterruptReason)
    case wake(Moment, alarm: Int)
    case finishClose([Promise<Int>], stillLeased: Int)
    case wishPlace(PlaceWish, number: UInt64)
    case returnPlaces(Int)
    case burstStarted(PoolMember)
    case burstStopped(PoolMember)
    case limitReached(PoolMember)
}

// MARK: - Under the lock

extension PoolCore.State {
    /// Turns actions into effects; to be called in the step that brought them.
    mutating func effects(of actions: [Action]) -> [Effect] {
        guard !actions.isEmpty || machine.isClosing else { return [] }
        var effects: [Effect] = []
        effects.reserveCapacity(actions.count)
        for action in actions { append(action, to: &effects) }
        // The queue gives its memory back when it falls empty, and so does the table beside it; but not before everybody
        // who left in this step was found there.
        if machine.queue.capacity == 0 { waiters = [] }
        if machine.isClosing, machine.nextTime == nil {
            if let alarm { effects.append(.cancel(alarm)) }
            alarm = nil
            // One that is not set yet will find that it is not the latest.
            alarmNumber += 1
            machine.armed = nil
        }
        return effects
    }

    private mutating func append(_ action: Action, to effects: inout [Effect]) {
        switch action {
        case .grant(let waiter, let id):
            effects.append(.decide(leave(waiter), .granted(grant(id))))
        case .fail(let waiter, let refusal):
            effects.append(.decide(leave(waiter), .refused(told(refusal))))
        case .connect(let id):
            let member = members[id.member]
            effects.append(.connect(id, member.opener, member.fence, member.terms, planWork(id)))
        case .abandonConnect(let id, _):
            cancelWork(id, &effects)
        case .tend(let id, let tending):
            effects.append(.tend(occupant(id), tending, planWork(id)))
        case .cancelTending(let id, let isLate):
            cancelWork(id, &effects)
            if isLate { effects += interrupt(id, .unresponsive) }
        case .forget(let id):
            settle(nil, at: id)
        case .summon(let id):
            occupant(id).slot.limit.store(0, ordering: .relaxed)
        case .doubt(let id):
            occupant(id).slot.isDoubtful.store(true, ordering: .relaxed)
            occupant(id).slot.needsPreparation.store(true, ordering: .relaxed)
        case .leak(let id, let held, let now):
            let slot = occupant(id).slot
            let report = LeaseReport(slot, of: members[id.member].identity, heldAtLeast: held)
            members[id.member][id].leak = MemberShell.Leak(report: report, reportedAt: now)
            slot.limit.store(0, ordering: .relaxed)
            effects.append(.leaked(report))
        case .broken(let member):
            effects.append(.broken(members[member].identity))
        case .repaired(let member):
            effects.append(.repaired(members[member].identity))
        case .close(let id, let reason):
            close(id, reason, dropping: false, &effects)
        case .drop(let id, let reason):
            close(id, reason, dropping: true, &effects)
        case .interrupt(let id, let reason):
            effects += interrupt(id, reason)
        case .wake(let time):
            alarmNumber += 1
            effects.append(.wake(time, alarm: alarmNumber))
        case .voidPermits:
            for member in members { member.fence.terminate() }
        case .finishClose(let stillLeased):
            effects.append(.finishClose(closers, stillLeased: stillLeased))
            closers = []
        case .wishPlace(let wish, let number): effects.append(.wishPlace(wish, number: number))
        case .returnPlaces(let count): effects.append(.returnPlaces(count))
        case .burstStarted(let member):
            effects.append(.burstStarted(members[member].identity))
        case .burstStopped(let member):
            effects.append(.burstStopped(members[member].identity))
        case .limitReached(let member):
            effects.append(.limitReached(members[member].identity))
        }
    }

    private mutating func planWork(_ id: SlotID) -> Work {
        let work = Work()
        members[id.member][id].work = work
        return work
    }

    private mutating func cancelWork(_ id: SlotID, _ effects: inout [Effect]) {
        guard let work = members[id.member][id].work else { return }
        members[id.member][id].work = nil
        effects.append(.cancelWork(work))
    }

    /// Has the connection's work fail. It is not closed until that was said.
    mutating func interrupt(_ id: SlotID, _ reason: InterruptReason) -> [Effect] {
        members[id.member][id].interrupts += 1
        return [.interrupt(occupant(id), reason)]
    }

    mutating func close(_ id: SlotID, _ reason: CloseReason, dropping: Bool, _ effects: inout [Effect]) {
        if members[id.member][id].interrupts > 0 {
            members[id.member][id].closeAfterInterrupts = (reason, dropping)
        } else {
            effects.append(.close(occupant(id), reason, dropping: dropping))
            settle(nil, at: id)
        }
    }

    /// The connection of a slot of which the machine says that there is one.
    func occupant(_ id: SlotID) -> Occupant {
        // Stored in the step that tells the machine of the connection, and forgotten in the one that closes it.
        members[id.member].places[id.index].occupant!
    }

    /// Which lease of the connection this is, and which fence its permit may not outlive, as of now.
    func grant(_ id: SlotID) -> Grant {
        let occupant = occupant(id)
        occupant.slot.holder.store(machine.tables[id.member].slots[id.index].holder, ordering: .relaxed)
        return Grant(
            occupant: Unmanaged.passUnretained(occupant),
            epoch: occupant.slot.epoch.load(ordering: .relaxed),
            fence: occupant.slot.fence.word.load(ordering: .relaxed)
        )
    }

    mutating func register(_ promise: Promise<Outcome>, as waiter: WaiterID) {
        while waiters.count <= waiter.index { waiters.append(nil) }
        waiters[waiter.index] = promise
    }

    private mutating func leave(_ waiter: WaiterID) -> Promise<Outcome> {
        // Registered in the step that entered it; the index is free for another one only after this step.
        let promise = waiters[waiter.index]!
        waiters[waiter.index] = nil
        return promise
    }

    private func told(_ refusal: Refusal) -> Outcome.Refusal {
        switch refusal {
        case .timedOut(let held): .timedOut(held: held)
        case .cancelled: .cancelled
        case .closed: .closed
        case .connectFailed(let id):
            // The step that brings this refusal has set it.
            .connectFailed(members[id.member].identity, members[id.member].lastError!)
        case .unavailable(let member): .unavailable(members[member].identity, members[member].lastError)
        case .overloaded: .overloaded
        case .removed(let member): .removed(members[member].identity)
        }
    }
}

// MARK: - Outside the lock

extension PoolCore {
    /// - Parameter leaver: A connection whose return brought these effects.
    /// - Returns: What closing `leaver` threw. Such an error of another connection goes to the observer.
    @discardableResult
    func run(_ effects: [Effect], leaver: Occupant? = nil) -> (any Error)? {
        var leaverError: (any Error)?
        for effect in effects {
            switch effect {
            case .decide(let promise, let outcome): promise.keep(outcome)
            case .connect(let id, let opener, let fence, let terms, let work): connect(id, opener, fence, terms, work)
            case .tend(let occupant, let tending, let work): tend(occupant, tending, work)
            case .leaked(let report): observer?.leaked(report)
            case .broken(let member): observer?.becameUnavailable(member)
            case .repaired(let member): observer?.becameAvailable(member)
            case .cancel(let task): task.cancel()
            case .cancelWork(let work): work.cancel()
            case .close(let occupant, let reason, let dropping):
                guard let error = close(occupant, reason, dropping: dropping) else { continue }
                if occupant === leaver { leaverError = error } else { report(error, of: occupant.slot) }
            case .interrupt(let occupant, let reason): interrupt(occupant, reason)
            case .wake(let time, let alarm): setAlarm(alarm, at: time)
            case .finishClose(let closers, let stillLeased):
                for closer in closers { closer.keep(stillLeased) }
            case .wishPlace(let wish, let number): configuration.budget?.wish(wish, number: number, of: self)
            case .returnPlaces(let count): configuration.budget?.giveBack(count, self)
            case .burstStarted(let member): observer?.burstStarted(member)
            case .burstStopped(let member): observer?.burstStopped(member)
            case .limitReached(let member): observer?.limitReached(member)
            }
        }
        return leaverError
    }

    private func close(_ occupant: Occupant, _ reason: CloseReason, dropping: Bool) -> (any Error)? {
        var failure: (any Error)?
        if !dropping {
            do { try occupant.close(reason) } catch { failure = error }
        }
        let now = now
        step { $0.machine.closed(occupant.slot.id, now: now, &$1) }
        observer?.connectionClosed(member(of: occupant.slot), reason: reason)
        return failure
    }

    private func interrupt(_ occupant: Occupant, _ reason: InterruptReason) {
        occupant.interrupt(reason)
        let id = occupant.slot.id
        let effects = state.withLock { state in
            var effects: [Effect] = []
            // If it was detached meanwhile, the place may be another one's.
            guard state.members[id.member][id].occupant === occupant else { return effects }
            state.members[id.member][id].interrupts -= 1
            if state.members[id.member][id].interrupts == 0,
                let (reason, dropping) = state.members[id.member][id].closeAfterInterrupts
            {
                state.close(id, reason, dropping: dropping, &effects)
            }
            return effects
        }
        run(effects)
    }

    /// Tells of a closing error that no scope is left for.
    @usableFromInline
    func report(_ error: any Error, of slot: PoolSlot) {
        observer?.returnError(member(of: slot), error: error)
    }

    func member(of slot: PoolSlot) -> PoolMember {
        PoolMember(group: configuration.name, id: slot.member, label: slot.fence.label)
    }
}
