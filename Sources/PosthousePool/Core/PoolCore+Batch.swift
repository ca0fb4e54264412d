// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Several connections at once. They enter the queue in one step, so that their tickets follow each other: of two batches the
// earlier one gets all of its connections first, and neither waits for what the other one holds.

extension PoolCore {
    private struct Entry: Sendable {
        let ticket: WaitQueue.Ticket
        let promise: Promise<Outcome>
        let entered: Entered
    }

    /// Leases so many connections, or none.
    nonisolated(nonsending) func takeTogether(_ count: Int, _ request: AcquireRequest) async throws(PoolError)
        -> [Grant]
    {
        try check(request)
        let room = state.withLock { state in
            state.machine.members.indices.reduce(0) { room, index in
                let member = state.machine.members[index]
                guard request.member.map({ $0.index == index }) ?? !member.isRemoved else { return room }
                // Limits may be as large as they like.
                let (sum, isTooLarge) = room.addingReportingOverflow(member.hardLimit)
                return isTooLarge ? .max : sum
            }
        }
        guard (1...max(1, room)).contains(count) else {
            throw .invalid("\(count) connections at once: it must be at least 1, and the limit is \(room)")
        }
        let began = now
        var request = request
        request.moment = request.moment ?? began + configuration.acquireTimeout
        let entries = try enterTogether(count, request, since: began)
        var grants: [Grant] = []
        do {
            for entry in entries {
                grants.append(try await take(entry, request, since: began))
            }
        } catch {
            for grant in grants { grant.giveBackReporting() }
            await leave(entries.dropFirst(grants.count))
            throw error
        }
        // Those that came first have been waiting for the others.
        for index in grants.indices {
            guard let reject = look(at: grants[index]) else { continue }
            grants[index] = try await replace(reject, entries[index].ticket, in: grants, at: index, request)
        }
        return grants
    }

    private nonisolated(nonsending) func replace(
        _ reject: Reject,
        _ ticket: WaitQueue.Ticket,
        in grants: [Grant],
        at index: Int,
        _ request: AcquireRequest
    ) async throws(PoolError) -> Grant {
        do {
            return try await wait(for: request, ticket: ticket, rejecting: reject)
        } catch {
            for (position, grant) in grants.enumerated() where position != index { grant.giveBackReporting() }
            throw error
        }
    }

    nonisolated(nonsending) func warmUp(deadline: Moment?) async throws(PoolError) {
        let members: [(MemberID, Int)] = state.withLock { state in
            state.machine.members.indices.compactMap { index in
                let member = state.machine.members[index]
                return member.services.isEmpty ? nil : (memberID(index), max(1, member.rules.minimumSize))
            }
        }
        var request = AcquireRequest()
        request.moment = deadline ?? now + configuration.acquireTimeout
        request.connectFailurePolicy = .failRequester
        for (member, count) in members {
            request.member = member
            for grant in try await takeTogether(count, request) { grant.giveBackReporting() }
        }
    }

    private func enterTogether(
        _ count: Int,
        _ request: AcquireRequest,
        since began: Moment
    ) throws(PoolError) -> [Entry] {
        if Task.isCancelled { throw cancelledError(since: began) }
        let now = now
        let (entries, refusal): ([Entry], Outcome.Refusal?) = step { state, actions in
            var entries: [Entry] = []
            for _ in 0..<count {
                let ticket = state.machine.queue.drawTicket()
                let promise = Promise<Outcome>()
                let entered = state.enter(
                    request,
                    deadline: request.moment ?? now,
                    ticket: ticket,
                    // As for a limit of requests that wait, all of them are one.
                    isReturning: entries.contains { if case .waiting = $0.entered { true } else { false } },
                    promise,
                    now: now,
                    &actions
                )
                if case .refused(let refusal) = entered {
                    for entry in entries { state.undo(entry.entered, now: now, &actions) }
                    return ([], refusal)
                }
                entries.append(Entry(ticket: ticket, promise: promise, entered: entered))
                // Its deadline has passed: all of them fail. Its place in the queue is free only after this step.
                if case .waiting(let id) = entered, !state.machine.queue.contains(id) { break }
            }
            return (entries, nil)
        }
        if let refusal { throw error(refusal, since: began) }
        return entries
    }

    private nonisolated(nonsending) func take(
        _ entry: Entry,
        _ request: AcquireRequest,
        since began: Moment
    ) async throws(PoolError) -> Grant {
        let grant: Grant
        switch entry.entered {
        case .taken(let taken): grant = taken
        case .waiting(let id): grant = try await decided(entry.promise, of: id, since: began)
        case .refused(let refusal): throw error(refusal, since: began)
        }
        return try await wait(for: request, found: grant, ticket: entry.ticket)
    }

    /// The first of them has failed, and holds nothing.
    private nonisolated(nonsending) func leave(_ entries: ArraySlice<Entry>) async {
        for entry in entries.dropFirst() {
            switch entry.entered {
            case .taken(let grant): grant.giveBackReporting()
            case .waiting(let id):
                step { $0.machine.waiterCancelled(id, &$1) }
                // Decided by now, one way or the other.
                if case .granted(let grant) = await entry.promise.value() { grant.giveBackReporting() }
            case .refused: break
            }
        }
    }

    /// Takes the connection of a lease out of the pool.
    @usableFromInline
    static func detach(_ leased: Unmanaged<Occupant>, epoch: UInt64) {
        let occupant = leased.takeUnretainedValue()
        let slot = occupant.slot
        guard slot.endLease(expected: epoch) else { return }
        if slot.notes != nil { slot.core.noteEnd(of: slot) }
        slot.core.detach(occupant)
    }

    private func detach(_ occupant: Occupant) {
        let id = occupant.slot.id
        let now = now
        let leak = step { state, actions in
            let leak = state.endLeak(of: occupant.slot)
            state.settle(nil, at: id)
            state.machine.detached(id, now: now, &actions)
            return leak
        }
        if let leak { reportEnd(of: leak) }
        observer?.connectionClosed(member(of: occupant.slot), reason: .detached)
    }
}

extension PoolCore.State {
    fileprivate mutating func undo(_ entered: PoolCore.Entered, now: Moment, _ actions: inout [Action]) {
        switch entered {
        case .taken(let grant):
            _ = grant.slot.endLease(expected: grant.epoch)
            machine.returned(grant.slot.id, .usable, uses: grant.epoch, &actions)
        case .waiting(let id): machine.waiterCancelled(id, &actions)
        case .refused: break
        }
    }
}
