// SPDX-License-Identifier: Apache-2.0

import CTask
import PosthouseBase
import Synchronization

/// A connection for a request, not yet checked: which lease of it this is, and the fence when it was granted.
@usableFromInline
struct Grant: Sendable {
    /// Not counted: a leased connection is in its member's places until the lease has ended, and with it the core.
    @usableFromInline let occupant: Unmanaged<Occupant>
    @usableFromInline let epoch: UInt64
    @usableFromInline let fence: UInt64

    @inlinable
    init(occupant: Unmanaged<Occupant>, epoch: UInt64, fence: UInt64) {
        self.occupant = occupant
        self.epoch = epoch
        self.fence = fence
    }

    var slot: PoolSlot { occupant._withUnsafeGuaranteedRef { $0.slot } }
}

extension PoolCore {
    private enum Taken: Sendable { case grant(Grant, emptyHanded: Int?), nothing, closed }

    /// Leases an idle connection: one swap, no lock, no allocation, no clock, no suspension, if nobody waits and the
    /// connection is fit; one lock if somebody does.
    @usableFromInline
    func take(_ request: AcquireRequest) throws(PoolError) -> Grant? {
        if let member = request.member, member.group != ObjectIdentifier(self) {
            throw .invalid("The request names a member of another pool group.")
        }
        if let grant = open.take(request) {
            guard let refuse = look(at: grant) else { return grant }
            try reject(refuse, since: nil)
        }
        return try takeWithLock(request)
    }

    private func takeWithLock(_ request: AcquireRequest) throws(PoolError) -> Grant? {
        let demand = Demand(request)
        let holder = ctask_current()
        while true {
            let taken: Taken = withMachine { state in
                var emptyHanded: Int?
                guard
                    let id = state.machine.takeIdle(
                        demand,
                        affinity: request.affinity,
                        holder: holder,
                        emptyHanded: &emptyHanded
                    )
                else { return state.machine.isClosing ? .closed : .nothing }
                return .grant(state.grant(id), emptyHanded: emptyHanded)
            }
            switch taken {
            case .grant(let grant, let emptyHanded):
                if let emptyHanded { openAhead(emptyHanded) }
                guard let refuse = look(at: grant) else { return grant }
                try reject(refuse, since: nil)
            case .nothing: return nil
            case .closed: throw closedError(since: nil)
            }
        }
    }

    private func openAhead(_ member: Int) {
        let now = now
        step { $0.machine.openAhead(member, now: now, &$1) }
    }

    private enum Entered: Sendable { case taken(Grant), waiting(WaiterID), exhausted, closed }

    /// Waits for a connection, after `take` found none.
    @usableFromInline
    nonisolated(nonsending) func wait(for request: AcquireRequest) async throws(PoolError) -> Grant {
        let began = now
        let deadline = request.moment ?? began + configuration.acquireTimeout
        // Drawn when it first enters the queue: whoever was handed a dead connection comes back to its place, in the same
        // step in which that connection makes room for another.
        var ticket: WaitQueue.Ticket?
        var reject: Reject?
        while true {
            if Task.isCancelled {
                if let reject { try self.reject(reject, since: began) }
                throw cancelledError(since: began)
            }
            let promise = Promise<Outcome>()
            let grant: Grant
            switch enter(request, deadline: deadline, ticket: ticket, rejecting: reject, promise) {
            case .taken(let taken): grant = taken
            case .waiting(let id):
                ticket = id.ticket
                let outcome = await withTaskCancellationHandler {
                    await promise.value()
                } onCancel: {
                    // If the task was cancelled before it got here, this runs first; the promise keeps the outcome.
                    step { $0.machine.waiterCancelled(id, &$1) }
                }
                grant = try self.grant(from: outcome, since: began)
            case .exhausted: throw exhaustedError(since: began)
            case .closed: throw closedError(since: began)
            }
            guard let refuse = look(at: grant) else {
                if ticket != nil { observer?.waited(member(of: grant.slot), for: now - began) }
                return grant
            }
            if refuse.isCancellation { try self.reject(refuse, since: began) }
            reject = refuse
        }
    }

    private func enter(
        _ request: AcquireRequest,
        deadline: Moment,
        ticket: WaitQueue.Ticket?,
        rejecting reject: Reject?,
        _ promise: Promise<Outcome>
    ) -> Entered {
        let demand = Demand(request)
        let holder = ctask_current()
        let now = now
        return step { state, actions in
            if state.machine.isClosing {
                if let reject { state.machine.rejected(reject, now: now, &actions) }
                return .closed
            }
            if deadline <= now { state.noteHolders() }
            let entry = state.machine.enter(
                demand,
                affinity: request.affinity,
                holder: holder,
                deadline: deadline,
                ticket: ticket,
                rejecting: reject,
                now: now,
                &actions
            )
            switch entry {
            case .taken(let id): return .taken(state.grant(id))
            case .waiting(let id):
                state.register(promise, as: id)
                return .waiting(id)
            case .exhausted: return .exhausted
            }
        }
    }

    private func grant(from outcome: Outcome, since began: Moment) throws(PoolError) -> Grant {
        switch outcome {
        case .granted(let grant):
            guard Task.isCancelled else { return grant }
            // Granted, then cancelled, before it ran again: the next request gets it.
            let slot = grant.slot
            if let error = grant.giveBack() { report(error, of: slot) }
            throw cancelledError(since: began)
        case .timedOut(let held):
            let error = timedOutError(since: began, held: held)
            observer?.timedOut(error)
            throw error
        case .cancelled: throw cancelledError(since: began)
        case .closed: throw closedError(since: began)
        case .connectFailed(let member, let error): throw connectFailedError(member, error, since: began)
        }
    }

    /// Whether the connection may be handed out: `nil` if so. If not, nobody holds it any more, and the pool is to be told.
    @inline(__always)
    private func look(at grant: Grant) -> Reject? {
        grant.occupant._withUnsafeGuaranteedRef { occupant in
            let condition = occupant.condition
            // Fenced or terminated since it was granted: its permit would never be valid.
            let isFenced = occupant.slot.fence.word.load(ordering: .acquiring) != grant.fence
            if case .usable = condition, !isFenced { return nil }
            return rejecting(occupant.slot, condition, grant.epoch)
        }
    }

    private func rejecting(_ slot: PoolSlot, _ condition: Condition, _ epoch: UInt64) -> Reject {
        _ = slot.endLease(expected: epoch)
        return Reject(id: slot.id, condition: condition, isFirstUse: epoch == 0)
    }

    /// - Throws: `cancelled` if the strategy's check said so.
    private func reject(_ reject: Reject, since began: Moment?) throws(PoolError) {
        let now = now
        step { $0.machine.rejected(reject, now: now, &$1) }
        if reject.isCancellation { throw cancelledError(since: began) }
    }

    /// - Parameter occupant: Still leased as far as the machine knows, so it is still there; counted from here on, and with
    ///   it the core.
    fileprivate static func returned(_ occupant: Occupant, _ condition: Condition) -> (any Error)? {
        let core = occupant.slot.core
        let effects = core.withMachine { state in
            var actions: [Action] = []
            state.machine.returned(occupant.slot.id, condition, &actions)
            return state.effects(of: actions)
        }
        return effects.isEmpty ? nil : core.run(effects, leaver: occupant)
    }
}

extension Grant {
    /// Ends a lease: one swap, no lock, no allocation, no clock, unless somebody waits or the connection is not kept.
    ///
    /// - Returns: What closing it threw, if the pool did not keep it.
    @usableFromInline
    func giveBack() -> (any Error)? {
        guard case .toMachine(let condition) = handBack() else { return nil }
        return PoolCore.returned(occupant.takeUnretainedValue(), condition)
    }

    /// As ``giveBack()``, where nobody is left to throw to.
    @usableFromInline
    func giveBackReporting() {
        guard case .toMachine(let condition) = handBack() else { return }
        let leaver = occupant.takeUnretainedValue()
        if let error = PoolCore.returned(leaver, condition) { leaver.slot.core.report(error, of: leaver.slot) }
    }

    private enum Handed { case back, late, toMachine(Condition) }

    /// Counts no reference: the lease keeps the connection and the core until it is back, and afterwards others may close
    /// the one and drop the other. So each look at them ends before the swap that may give them away.
    @inline(__always)
    private func handBack() -> Handed {
        guard occupant._withUnsafeGuaranteedRef({ $0.slot.endLease(expected: epoch) }) else { return .late }
        let condition = occupant._withUnsafeGuaranteedRef { $0.condition }
        guard case .usable = condition else { return .toMachine(condition) }
        return OpenIdle.give(occupant) ? .back : .toMachine(.usable)
    }
}

extension Demand {
    init(_ request: AcquireRequest) {
        self.init(wants: request.wants, fallback: request.fallback, member: request.member?.index)
    }
}
