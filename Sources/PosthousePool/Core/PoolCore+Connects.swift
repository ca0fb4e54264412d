// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Connects and the alarm: the core's own tasks. They are detached, so that they keep nothing of the request that caused
// them, and of high priority, because requests of any priority wait for them.

extension PoolCore {
    func connect(_ id: SlotID, _ opener: any SlotOpener, _ fence: MemberFence, _ terms: SlotTerms, _ work: Work) {
        let slot = PoolSlot(id: id, fence: fence, terms: terms, core: self)
        let task = Task.detached(executorPreference: time.workExecutor, priority: .high) { [self] in
            let began = now
            do {
                let occupant = try await opener.open(slot)
                connected(occupant, after: now - began)
            } catch {
                connectFailed(slot, error, after: now - began)
            }
        }
        work.begin(task)
    }

    private enum Arrival { case welcome, late, unknown }

    private func connected(_ occupant: Occupant, after duration: Duration) {
        let id = occupant.slot.id
        let now = now
        let arrival: Arrival = step { state, actions in
            let arrival: Arrival =
                state.machine.holds(id, .connecting) ? .welcome : state.machine.holds(id, .abandoned) ? .late : .unknown
            if arrival == .unknown { return arrival }
            // Before the machine hears of it: what follows may be about this connection.
            state.settle(occupant, at: id)
            if arrival == .welcome {
                state.members[id.member].lastError = nil
                state.members[id.member].lastErrorAt = nil
            }
            state.machine.connected(id, affinity: occupant.affinity, now: now, &actions)
            return arrival
        }
        switch arrival {
        case .welcome: observer?.connected(member(of: occupant.slot), after: duration)
        case .late: break
        case .unknown:
            closeForgotten(occupant, .late)
        }
    }

    private func connectFailed(_ slot: PoolSlot, _ error: any Error, after duration: Duration) {
        let id = slot.id
        let now = now
        let wasWanted = step { state, actions in
            let wasWanted = state.machine.holds(id, .connecting)
            if wasWanted {
                state.members[id.member][id].work = nil
                state.members[id.member].lastError = error
                state.members[id.member].lastErrorAt = now
            }
            state.machine.connectFailed(id, now: now, &actions)
            return wasWanted
        }
        if wasWanted { observer?.connectFailed(member(of: slot), error: error, after: duration) }
    }
}

// MARK: - The alarm

extension PoolCore {
    private static var longestSleep: Duration { .seconds(24 * 60 * 60) }

    func setAlarm(_ number: Int, at deadline: Moment) {
        // Whoever means "never" may say the largest number there is, and not every clock can count so far. To ring early does
        // no harm.
        let end = min(deadline, now + Self.longestSleep).instant
        // It holds the core until then, but not longer than the pool lives: a pool that is dropped cancels its alarm.
        let task = Task.detached(executorPreference: time.workExecutor, priority: .high) { [self] in
            do {
                try await time.sleep(until: end)
            } catch {
                if Task.isCancelled { return }
                // A clock that stopped must not take all deadlines with it.
                guard (try? await SystemTime().sleep(until: end)) != nil else { return }
            }
            ring(number)
        }
        let obsolete = state.withLock { state in
            guard state.alarmNumber == number else { return task as Task<Void, Never>? }
            defer { state.alarm = task }
            return state.alarm
        }
        obsolete?.cancel()
    }

    /// Returns whether that time has come; if not, the task was cancelled.
    nonisolated(nonsending) func sleep(until end: Moment) async -> Bool {
        while true {
            let step = min(end, now + Self.longestSleep)
            do {
                try await time.sleep(until: step.instant)
            } catch {
                if Task.isCancelled { return false }
                guard (try? await SystemTime().sleep(until: step.instant)) != nil else { return false }
            }
            if step == end { return true }
        }
    }

    private func ring(_ number: Int) {
        let now = now
        let timedOut: [(PoolMember, after: Duration)] = step { state, actions in
            guard state.alarmNumber == number else { return [] }
            state.alarm = nil
            state.alarmNumber += 1
            state.noteUses()
            state.machine.alarmRang(now: now, &actions)
            var timedOut: [(PoolMember, after: Duration)] = []
            for case .abandonConnect(let id, timedOut: true) in actions {
                let timeout = state.machine.members[id.member].rules.connectTimeout
                state.members[id.member].lastError = ConnectTimedOut(after: timeout)
                state.members[id.member].lastErrorAt = now
                timedOut.append((state.members[id.member].identity, timeout))
            }
            return timedOut
        }
        for (member, timeout) in timedOut {
            observer?.connectFailed(member, error: ConnectTimedOut(after: timeout), after: timeout)
        }
    }
}
