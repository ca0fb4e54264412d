// SPDX-License-Identifier: Apache-2.0

import CTask
import PosthouseBase
public import Synchronization

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

    @usableFromInline var slot: PoolSlot { occupant._withUnsafeGuaranteedRef { $0.slot } }

    /// Whether there is something to do before it is handed out.
    @inlinable var needsPreparation: Bool {
        occupant._withUnsafeGuaranteedRef { $0.slot.needsPreparation.load(ordering: .relaxed) }
    }
}

extension PoolCore {
    private enum Taken: Sendable { case grant(Grant, emptyHanded: Int?), nothing, closed }

    /// Leases an idle connection: one swap, no lock, no allocation, no clock, no suspension, if nobody waits and the
    /// connection is fit; one lock if somebody does.
    @usableFromInline
    func take(_ request: AcquireRequest) throws(PoolError) -> Grant? {
        try check(request)
        var isLow = false
        if request.filter == nil, let grant = open.take(request, isLow: &isLow) {
            if isLow { keepUp(grant.slot.id.member) }
            guard let refuse = look(at: grant) else { return grant }
            try reject(refuse, since: nil)
        }
        return try takeWithLock(request)
    }

    /// - Throws: ``PoolError/Code/invalidConfiguration`` if it names a member or a filter of another group.
    @inline(__always)
    func check(_ request: AcquireRequest) throws(PoolError) {
        if let member = request.member, member.group != ObjectIdentifier(self) { throw Self.foreignMember() }
        if let member = request.prefers, member.group != ObjectIdentifier(self) { throw Self.foreignMember() }
        if let filter = request.filter, filter.group != ObjectIdentifier(self) { throw Self.foreignMember() }
    }

    @inline(never)
    private static func foreignMember() -> PoolError {
        .invalid("the request names a member or a filter of another pool group")
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
                        preferring: request.prefers?.index,
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
        found: Grant?
    ) async throws(PoolError) -> Grant {
        try await wait(for: request, found: found, ticket: nil)
    }

    nonisolated(nonsending) func wait(
        for request: AcquireRequest,
        found first: Grant? = nil,
        ticket firstTicket: WaitQueue.Ticket?,
        rejecting dead: Reject? = nil
    ) async throws(PoolError) -> Grant {
        let began = now
        let deadline = request.moment ?? began + configuration.acquireTimeout
        // Drawn when it first enters the queue: whoever was handed a dead connection comes back to its place, in the same
        // step in which that connection makes room for another.
        var ticket = firstTicket
        var found = first
        var reject = dead ?? first.flatMap { look(at: $0) }
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
            grant.giveBackReporting()
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

    /// Whether the connection may be handed out: `nil` if so. If not, nobody holds it any more, and the pool is to be told.
    @inline(__always)
    func look(at grant: Grant) -> Reject? {
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
    func reject(_ reject: Reject, since began: Moment?) throws(PoolError) {
        let now = now
        step { $0.machine.rejected(reject, now: now, &$1) }
        if reject.isCancellation { throw cancelledError(since: began) }
    }

    /// - Parameter occupant: Still leased as far as the machine knows, so it is still there; counted from here on, and with
    ///   it the core.
    fileprivate static func returned(_ occupant: Occupant, _ condition: Condition, uses: UInt64) -> (any Error)? {
        let core = occupant.slot.core
        let (effects, leak) = core.withMachine { state in
            var actions: [Action] = []
            let leak = state.endLeak(of: occupant.slot)
            state.machine.returned(occupant.slot.id, condition, uses: uses, &actions)
            state.machine.balanceBudget(&actions)
            return (state.effects(of: actions), leak)
        }
        if let leak { core.reportEnd(of: leak) }
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
        return PoolCore.returned(occupant.takeUnretainedValue(), condition, uses: epoch &+ 1)
    }

    /// As ``giveBack()``, where nobody is left to throw to.
    @usableFromInline
    func giveBackReporting() {
        guard case .toMachine(let condition) = handBack() else { return }
        let leaver = occupant.takeUnretainedValue()
        let error = PoolCore.returned(leaver, condition, uses: epoch &+ 1)
        if let error { leaver.slot.core.report(error, of: leaver.slot) }
    }

    private enum Handed { case back, late, toMachine(Condition) }

    /// Counts no reference: the lease keeps the connection and the core until it is back, and afterwards others may close
    /// the one and drop the other. So each look at them ends before the swap that may give them away.
    @inline(__always)
    private func handBack() -> Handed {
        guard occupant._withUnsafeGuaranteedRef({ $0.slot.endLease(expected: epoch) }) else { return .late }
        let condition = occupant._withUnsafeGuaranteedRef { occupant in
            if occupant.slot.notes != nil { occupant.slot.core.noteEnd(of: occupant.slot) }
            return occupant.conditionOnReturn
        }
        guard case .usable = condition else { return .toMachine(condition) }
        return OpenIdle.give(occupant) ? .back : .toMachine(.usable)
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
            preferring: request.prefers?.index,
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
        case .unavailable(let member):
            return .refused(.unavailable(members[member].identity, members[member].lastError))
        case .removed(let member): return .refused(.removed(members[member].identity))
        }
    }
}

extension Demand {
    init(_ request: AcquireRequest) {
        self.init(
            wants: request.wants,
            fallback: request.fallback,
            further: request.further,
            member: request.member?.index,
            filter: request.filter?.id
        )
    }
}
