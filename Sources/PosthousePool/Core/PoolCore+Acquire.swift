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

    @usableFromInline var slot: PoolSlot { occupant._withUnsafeGuaranteedRef { $0.slot } }

    /// Whether there is something to do before it is handed out.
    @usableFromInline var needsPreparation: Bool {
        occupant._withUnsafeGuaranteedRef { $0.slot.needsPreparation.load(ordering: .relaxed) }
    }
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
        var isLow = false
        if let grant = open.take(request, isLow: &isLow) {
            if isLow { keepUp(grant.slot.id.member) }
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

    private func keepUp(_ member: Int) {
        let now = now
        step { $0.machine.keepUp(member, now: now, &$1) }
    }

    private func openAhead(_ member: Int) {
        let now = now
        step { $0.machine.openAhead(member, now: now, &$1) }
    }

    /// Waits for a connection, after `take` found none, or one that is to be prepared.
    @usableFromInline
    nonisolated(nonsending) func wait(
        for request: AcquireRequest,
        found first: Grant? = nil,
        ticket firstTicket: UInt64? = nil
    ) async throws(PoolError) -> Grant {
        let began = now
        let deadline = request.moment ?? began + configuration.acquireTimeout
        // Drawn when it first enters the queue: whoever was handed a dead connection comes back to its place, in the same
        // step in which that connection makes room for another.
        var ticket = firstTicket
        var found = first
        var reject = first.flatMap { look(at: $0) }
        while true {
            if found == nil {
                if Task.isCancelled {
                    if let reject { try self.reject(reject, since: began) }
                    throw cancelledError(since: began)
                }
                let promise = Promise<Outcome>()
                switch enter(request, deadline: deadline, ticket: ticket, rejecting: reject, promise) {
                case .taken(let taken): found = taken
                case .waiting(let id):
                    ticket = id.ticket
                    found = try await decided(promise, of: id, since: began)
                case .refused(let refusal): throw error(refusal, since: began)
                }
                reject = found.flatMap { look(at: $0) }
            }
            if let grant = found, reject == nil {
                switch await prepare(grant, until: deadline) {
                case .ready:
                    if ticket != nil { observer?.waited(member(of: grant.slot), for: now - began) }
                    return grant
                case .again(let refuse): reject = refuse
                case .over(let refusal): throw error(refusal, since: began)
                }
            }
            found = nil
            if let reject, reject.isCancellation { try self.reject(reject, since: began) }
        }
    }

    nonisolated(nonsending) func decided(
        _ promise: Promise<Outcome>,
        of id: WaiterID,
        since began: Moment
    ) async throws(PoolError) -> Grant {
        let outcome = await withTaskCancellationHandler {
            await promise.value()
        } onCancel: {
            // If the task was cancelled before it got here, this runs first; the promise keeps the outcome.
            step { $0.machine.waiterCancelled(id, &$1) }
        }
        switch outcome {
        case .granted(let grant):
            guard Task.isCancelled else { return grant }
            // Granted, then cancelled, before it ran again: the next request gets it.
            giveBack(grant)
            throw cancelledError(since: began)
        case .refused(let refusal): throw error(refusal, since: began)
        }
    }

    enum Entered: Sendable { case taken(Grant), waiting(WaiterID), refused(Outcome.Refusal) }

    private func enter(
        _ request: AcquireRequest,
        deadline: Moment,
        ticket: WaitQueue.Ticket?,
        rejecting reject: Reject?,
        _ promise: Promise<Outcome>
    ) -> Entered {
        let now = now
        return step { state, actions in
            state.enter(
                request,
                deadline: deadline,
                ticket: ticket,
                rejecting: reject,
                promise,
                now: now,
                &actions
            )
        }
    }

    func giveBack(_ grant: Grant) {
        let slot = grant.slot
        if let error = Self.giveBack(grant.occupant, epoch: grant.epoch) { report(error, of: slot) }
    }

    /// Whether the connection may be handed out: `nil` if so. If not, nobody holds it any more, and the pool is to be told.
    func look(at grant: Grant) -> Reject? {
        grant.occupant._withUnsafeGuaranteedRef { occupant in
            let slot = occupant.slot
            let condition = occupant.condition
            // Fenced or terminated since it was granted: its permit would never be valid.
            let isFenced = slot.fence.word.load(ordering: .acquiring) != grant.fence
            if case .usable = condition, !isFenced { return nil }
            _ = slot.endLease(expected: grant.epoch)
            return Reject(id: slot.id, condition: condition, isFirstUse: grant.epoch == 0)
        }
    }

    /// - Throws: `cancelled` if the strategy's check said so.
    func reject(_ reject: Reject, since began: Moment?) throws(PoolError) {
        let now = now
        step { $0.machine.rejected(reject, now: now, &$1) }
        if reject.isCancellation { throw cancelledError(since: began) }
    }

    /// Ends a lease: one swap, no lock, no allocation, no clock, unless somebody waits or the connection is not kept.
    ///
    /// - Returns: What closing it threw, if the pool did not keep it.
    @usableFromInline
    static func giveBack(_ leased: Unmanaged<Occupant>, epoch: UInt64) -> (any Error)? {
        // Once it is back, others may close it, and with it the pool may end: the core has to last until we are out of it.
        let core = leased._withUnsafeGuaranteedRef { $0.slot.core }
        return withExtendedLifetime(core) { core.giveBack(leased, epoch: epoch) }
    }

    /// As ``giveBack(_:epoch:)``, where nobody is left to throw to.
    @usableFromInline
    static func giveBackReporting(_ leased: Unmanaged<Occupant>, epoch: UInt64) {
        let slot = leased._withUnsafeGuaranteedRef { $0.slot }
        if let error = giveBack(leased, epoch: epoch) { slot.core.report(error, of: slot) }
    }

    private enum Handed { case back, late, toMachine(Condition) }

    @inline(__always)
    private func giveBack(_ leased: Unmanaged<Occupant>, epoch: UInt64) -> (any Error)? {
        let handed: Handed = leased._withUnsafeGuaranteedRef { occupant in
            guard occupant.slot.endLease(expected: epoch) else { return .late }
            if occupant.slot.notes != nil { noteEnd(of: occupant.slot) }
            let condition = occupant.conditionOnReturn
            if case .usable = condition, open.give(occupant.slot) { return .back }
            return .toMachine(condition)
        }
        guard case .toMachine(let condition) = handed else { return nil }
        // Still leased as far as the machine knows, so it is still there.
        return returnToMachine(leased.takeUnretainedValue(), condition, uses: epoch &+ 1)
    }

    private func returnToMachine(_ occupant: Occupant, _ condition: Condition, uses: UInt64) -> (any Error)? {
        let (effects, leak) = withMachine { state in
            var actions: [Action] = []
            let leak = state.endLeak(of: occupant.slot)
            state.machine.returned(occupant.slot.id, condition, uses: uses, &actions)
            state.machine.balanceBudget(&actions)
            return (state.effects(of: actions), leak)
        }
        if let leak { reportEnd(of: leak) }
        return effects.isEmpty ? nil : run(effects, leaver: occupant)
    }
}

extension PoolCore.State {
    mutating func enter(
        _ request: AcquireRequest,
        deadline: Moment,
        ticket: WaitQueue.Ticket? = nil,
        isReturning: Bool = true,
        rejecting reject: Reject? = nil,
        _ promise: Promise<Outcome>,
        now: Moment,
        _ actions: inout [Action]
    ) -> PoolCore.Entered {
        if machine.isClosing {
            if let reject { machine.rejected(reject, now: now, &actions) }
            return .refused(.closed)
        }
        takeCensus(now: now, isUrgent: deadline <= now)
        let entry = machine.enter(
            Demand(request),
            affinity: request.affinity,
            holder: ctask_current(),
            deadline: deadline,
            failsFast: request.connectFailurePolicy == .failRequester,
            ticket: ticket,
            isReturning: ticket != nil && isReturning,
            rejecting: reject,
            now: now,
            &actions
        )
        switch entry {
        case .taken(let id): return .taken(grant(id))
        case .waiting(let id):
            register(promise, as: id)
            return .waiting(id)
        case .exhausted: return .refused(.exhausted)
        case .unavailable(let member): return .refused(.unavailable(members[member].identity, members[member].lastError))
        }
    }
}

extension Demand {
    init(_ request: AcquireRequest) {
        self.init(wants: request.wants, fallback: request.fallback, member: request.member?.index)
    }
}
