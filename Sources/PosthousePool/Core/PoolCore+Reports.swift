// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension PoolCore {
    func snapshot() -> PoolSnapshot {
        let now = now
        return state.withLock { state in
            state.glance()
            return state.snapshot(configuration.name, takenAt: now)
        }
    }

    func status(of member: MemberID) -> PoolStatus {
        state.withLock { state in
            state.glance()
            return state.status(of: index(of: member))
        }
    }

    func activity() -> [PoolActivity] {
        state.withLock { state in
            state.glance()
            return state.machine.shown.map {
                PoolActivity(
                    member: state.members[$0].identity.id,
                    leased: state.machine.members[$0].leased,
                    endedLeases: state.endedLeases($0),
                    answers: state.answers($0)
                )
            }
        }
    }

    func answers(of member: MemberID) -> UInt64 {
        state.withLock { $0.answers(index(of: member)) }
    }
}

extension PoolCore.State {
    func snapshot(_ name: String, takenAt now: Moment) -> PoolSnapshot {
        PoolSnapshot(
            name: name,
            takenAt: now.instant,
            members: machine.shown.map { status(of: $0) },
            waiting: machine.queue.count,
            isClosed: machine.isClosing
        )
    }

    func status(of index: Int) -> PoolStatus {
        let member = machine.members[index]
        return PoolStatus(
            member: members[index].identity.id,
            label: members[index].identity.label,
            serves: member.services,
            isRemoved: member.isRemoved,
            maximumSize: member.softLimit,
            burstLimit: member.hardLimit == member.softLimit ? nil : member.hardLimit,
            size: member.live,
            // A claimed connection is idle to everybody but its driver.
            available: member.idle + member.claimed,
            leased: member.leased,
            connecting: member.connecting + member.abandoned,
            closing: member.closing,
            waiting: machine.queue.lines.reduce(0) { $0 + (machine.serves(index, $1.demand) ? $1.count : 0) },
            lastConnectError: members[index].lastError,
            lastConnectErrorAt: members[index].lastErrorAt?.instant,
            retryAt: member.retryAt?.instant
        )
    }
}

// MARK: - Why a request got nothing

extension PoolCore {
    /// What a request that got nothing throws; the observer hears of it where that matters.
    func error(_ refusal: Outcome.Refusal, since began: Moment) -> PoolError {
        switch refusal {
        case .timedOut(let held):
            let error = timedOutError(since: began, held: held)
            observer?.timedOut(error)
            return error
        case .cancelled: return cancelledError(since: began)
        case .closed: return closedError(since: began)
        case .connectFailed(let member, let error):
            return failure(
                .connectFailed,
                "opening a connection to \(member.label) for this request failed",
                error,
                began
            )
        case .hookFailed(let member, let error):
            return failure(.hookFailed, "the hook for handing out a connection to \(member.label) failed", error, began)
        case .unavailable(let member, let error):
            let what = "\(described) is unavailable: \(member.label) cannot be connected to, and nothing is open"
            return refused(failure(.unavailable, what, error, began))
        case .removed(let member):
            return refused(failure(.unavailable, "\(member.label) was removed from \(described)", nil, began))
        case .exhausted:
            return refused(
                turnedAway(.exhausted, began) { waiting in
                    "\(waiting) requests wait for \(described) already, as many as maximumWaiters allows"
                }
            )
        case .overloaded:
            return refused(
                turnedAway(.overloaded, began) { waiting in
                    "\(described) is overloaded: requests have been waiting without a break for too long, \(waiting) now, "
                        + "and this one was not served at once"
                }
            )
        }
    }

    func closedError(since began: Moment?) -> PoolError {
        let message: String
        let waited = began.map { now - $0 } ?? .zero
        if waited > .zero {
            message = "\(described) was closed while this request waited (\(waited.rounded)) for a connection"
        } else {
            message = "\(described) is closed and leases no more connections"
        }
        return PoolError(code: .closed, message: message, snapshot: snapshot(), waited: waited)
    }

    func cancelledError(since began: Moment?) -> PoolError {
        let waited = began.map { now - $0 } ?? .zero
        return PoolError(
            code: .cancelled,
            message: "the request for a connection of \(described) was cancelled after \(waited.rounded)",
            waited: waited
        )
    }

    private func timedOutError(since began: Moment, held: Int) -> PoolError {
        let snapshot = snapshot()
        let holders = state.withLock { $0.holders(now: Moment(snapshot.takenAt)) }
        let waited = Moment(snapshot.takenAt) - began
        var message = "no connection of \(described) became free within \(waited.rounded)"
        if held > 0 {
            message +=
                "; this task already holds \(held) of them: a task that waits for a connection while it holds one"
            message += " may wait for itself, so give it back first or make the pool larger"
        }
        message += ". \(snapshot.waiting) more wait. " + snapshot.explanation
        if !holders.isEmpty {
            message += " The longest leases: " + holders.map(\.description).joined(separator: "; ") + "."
        }
        return PoolError(
            code: .timedOut,
            message: message,
            snapshot: snapshot,
            longestLeases: holders,
            waited: waited,
            underlying: snapshot.members.lazy.compactMap(\.lastConnectError).first
        )
    }

    private func failure(
        _ code: PoolError.Code,
        _ what: String,
        _ error: (any Error)?,
        _ began: Moment
    ) -> PoolError {
        PoolError(
            code: code,
            message: error.map { "\(what): \($0)" } ?? what,
            snapshot: snapshot(),
            waited: now - began,
            underlying: error
        )
    }

    private func turnedAway(_ code: PoolError.Code, _ began: Moment, _ what: (Int) -> String) -> PoolError {
        let snapshot = snapshot()
        return PoolError(
            code: code,
            message: "\(what(snapshot.waiting)). \(snapshot.explanation)",
            snapshot: snapshot,
            waited: now - began
        )
    }

    private func refused(_ error: PoolError) -> PoolError {
        observer?.refused(error)
        return error
    }

    private var described: String { "pool \"\(configuration.name)\"" }
}

extension PoolSnapshot {
    /// Every member in a few words.
    var explanation: String {
        if members.isEmpty { return "It has no members." }
        return members.map(\.explanation).joined(separator: "; ") + "."
    }
}

extension PoolStatus {
    var explanation: String {
        var parts = ["\(leased) leased", "\(available) idle", "\(connecting) connecting"]
        if closing > 0 { parts.append("\(closing) closing") }
        parts.append("limit \(hardLimit)")
        if isRemoved {
            parts.append("removed")
        } else if serves.isEmpty {
            parts.append("out of service")
        }
        if let lastConnectError { parts.append("last connect error: \(lastConnectError)") }
        return "\(label): " + parts.joined(separator: ", ")
    }
}

extension Duration {
    /// In a unit that suits it, with few digits.
    var rounded: String {
        let microseconds = components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
        if microseconds < 1000 { return "\(microseconds) us" }
        if microseconds < 1_000_000 { return "\(microseconds / 1000) ms" }
        return "\(microseconds / 1_000_000).\(microseconds / 100_000 % 10) s"
    }
}
