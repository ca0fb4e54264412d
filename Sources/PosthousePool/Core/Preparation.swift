// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization

/// Work that has to be done on a leased connection before its request gets it: validating it, and the user's hook.
///
/// | state     | event                                            | next      | what follows |
/// |-----------|--------------------------------------------------|-----------|--------------|
/// | working   | the work ends                                    | ended     | the request gets the connection, or another one |
/// | working   | the request is cancelled, or its deadline passes | abandoned | it is told so at once |
/// | working   | the work takes too long                          | too long  | the request gets another one; the work is cancelled, the connection interrupted |
/// | abandoned | the work ends                                    | ended     | the connection goes back to the pool, or is closed if it is unfit |
/// | abandoned | the work takes too long                          | too long  | the work is cancelled, the connection interrupted |
/// | too long  | the work ends                                    | ended     | the connection is closed |
/// | too long  | a second passes                                  | too long  | the connection is written off: it counts no more |
///
/// The work belongs to the pool, as connects do: it goes on when its request is over, so that no connection is lost because
/// somebody could not wait. It holds the lease until the request takes over.
final class Preparation: Sendable {
    /// What the work found.
    enum Verdict: Sendable {
        case ready
        /// With the error of the validation, if that is why.
        case unfit((any Error)?)
    }

    /// What the request is told; the first one counts.
    enum Decision: Sendable {
        case verdict(Verdict)
        case hookFailed(any Error)
        case tooLong, timedOut, cancelled
    }

    enum Result: Sendable {
        case ready
        /// The request needs another connection, and the pool has to be told that nobody holds this one, unless the work goes
        /// on.
        case again(Reject?)
        /// The request is over, and the connection is not its concern any more.
        case over(Outcome.Refusal)
    }

    private enum Phase { case working, tooLong, ended }

    let decision = Promise<Decision>()
    private let phase = Guarded(Phase.working)

    /// - Returns: Whether the work was still going on in time.
    func end() -> Bool {
        phase.withLock { phase in
            defer { phase = .ended }
            return phase == .working
        }
    }

    /// - Parameter interrupt: Called if the work goes on; it does not end before that.
    func tooLong(_ interrupt: () -> Void) {
        phase.withLock { phase in
            guard phase == .working else { return }
            phase = .tooLong
            interrupt()
        }
    }

    /// - Parameter forget: Called if the work still goes on though it took too long: only then does nobody else have the lease.
    func writeOff(_ forget: () -> Void) {
        phase.withLock { phase in
            if phase == .tooLong { forget() }
        }
    }
}

extension PoolCore {
    /// Makes a connection ready that was leased for a request.
    nonisolated(nonsending) func prepare(_ grant: Grant, until deadline: Moment) async -> Preparation.Result {
        let slot = grant.slot
        guard slot.needsPreparation.load(ordering: .relaxed) else { return .ready }
        let preparation = Preparation()
        let occupant = grant.occupant.takeUnretainedValue()
        let watch = Work()
        let work = Task.detached(executorPreference: time.workExecutor, priority: .high) { [self] in
            await doWork(on: occupant, of: grant, preparation)
            watch.cancel()
        }
        let tooLong = now + state.withLock { $0.machine.members[slot.id.member].rules.workTimeout }
        let watcher = Task.detached(executorPreference: time.workExecutor, priority: .high) { [self] in
            if deadline < tooLong {
                guard await sleep(until: deadline) else { return }
                preparation.decision.keep(.timedOut)
            }
            guard await sleep(until: tooLong) else { return }
            interruptWork(on: occupant, preparation)
            work.cancel()
            guard await sleep(until: now + Machine.abandonedGrace) else { return }
            preparation.writeOff { writeOff(grant, slot) }
        }
        watch.begin(watcher)
        let decision = await withTaskCancellationHandler {
            await preparation.decision.value()
        } onCancel: {
            _ = preparation.decision.keep(.cancelled)
        }
        return settle(decision, occupant, grant)
    }

    private func settle(
        _ decision: Preparation.Decision,
        _ occupant: Occupant,
        _ grant: Grant
    ) -> Preparation.Result {
        let slot = grant.slot
        switch decision {
        case .verdict(.ready):
            if Task.isCancelled {
                grant.giveBackReporting()
                return .over(.cancelled)
            }
            return look(at: grant).map { .again($0) } ?? .ready
        case .verdict(.unfit(let error)):
            if let error { note(error, of: slot) }
            return .again(unfit(grant))
        case .hookFailed(let error):
            discard(occupant, of: grant)
            return .over(.hookFailed(member(of: slot), error))
        case .tooLong: return .again(nil)
        case .timedOut: return .over(.timedOut(held: 0))
        case .cancelled: return .over(.cancelled)
        }
    }

    private func doWork(on occupant: Occupant, of grant: Grant, _ preparation: Preparation) async {
        let slot = occupant.slot
        let decision: Preparation.Decision
        do {
            let isDoubtful = slot.isDoubtful.load(ordering: .relaxed)
            decision = .verdict(try await occupant.prepare(validating: isDoubtful || slot.terms.isAlwaysValidated))
        } catch {
            decision = .hookFailed(error)
        }
        let isInTime = preparation.end()
        if isInTime, case .verdict(.ready) = decision {
            slot.isDoubtful.store(false, ordering: .relaxed)
            slot.needsPreparation.store(slot.terms.isAlwaysPrepared, ordering: .relaxed)
        }
        if isInTime, preparation.decision.keep(decision) { return }
        // The request is over, or has got another one.
        if isInTime, case .verdict(.ready) = decision {
            grant.giveBackReporting()
        } else {
            discard(occupant, of: grant)
        }
    }

    private func interruptWork(on occupant: Occupant, _ preparation: Preparation) {
        var effects: [Effect] = []
        preparation.tooLong {
            // Counted before the work may end, so that the connection is not closed meanwhile.
            effects = state.withLock { $0.interrupt(occupant.slot.id, .unresponsive) }
        }
        guard !effects.isEmpty else { return }
        note(WorkTimedOut(), of: occupant.slot)
        preparation.decision.keep(.tooLong)
        run(effects)
    }

    /// A connection that is leased, and not fit to be handed out: nobody holds it any more, and the pool is to be told.
    private func unfit(_ grant: Grant) -> Reject {
        _ = grant.slot.endLease(expected: grant.epoch)
        return Reject(id: grant.slot.id, condition: .unfit, isFirstUse: grant.epoch == 0)
    }

    private func discard(_ occupant: Occupant, of grant: Grant) {
        let id = occupant.slot.id
        let now = now
        let isKnown = step { state, actions in
            guard state.machine.holds(id, .leased) else { return false }
            state.machine.rejected(unfit(grant), now: now, &actions)
            return true
        }
        if !isKnown { closeForgotten(occupant, .unfit) }
    }

    /// The work does not end, though it was told to: the place is free.
    private func writeOff(_ grant: Grant, _ slot: PoolSlot) {
        let now = now
        step { state, actions in
            guard state.machine.holds(slot.id, .leased), slot.endLease(expected: grant.epoch) else { return }
            state.machine.writeOff(slot.id, now: now, &actions)
        }
    }

    /// Why the member's connections are not fit, for the errors of requests that get none.
    func note(_ error: any Error, of slot: PoolSlot) {
        let now = now
        state.withLock { state in
            state.members[slot.id.member].lastError = error
            state.members[slot.id.member].lastErrorAt = now
        }
    }
}
