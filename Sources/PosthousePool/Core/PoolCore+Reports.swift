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
            return state.members.indices.map {
                PoolActivity(leased: state.machine.members[$0].leased, endedLeases: state.endedLeases($0))
            }
        }
    }
}

extension PoolCore.State {
    func snapshot(_ name: String, takenAt now: Moment) -> PoolSnapshot {
        PoolSnapshot(
            name: name,
            takenAt: now.instant,
            members: members.indices.map { status(of: $0) },
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
    func timedOutError(since began: Moment, held: Int) -> PoolError {
        let snapshot = snapshot()
        let waited = Moment(snapshot.takenAt) - began
        var message = "no connection of \(described) became free within \(waited.rounded)"
        if held > 0 {
            message +=
                "; this task already holds \(held) of them: a task that waits for a connection while it holds one"
            message += " may wait for itself, so give it back first or make the pool larger"
        }
        message += ". \(snapshot.waiting) more wait. " + snapshot.explanation
        return PoolError(code: .timedOut, message: message, snapshot: snapshot, waited: waited)
    }

    func exhaustedError(since began: Moment) -> PoolError {
        let snapshot = snapshot()
        let message =
            "\(snapshot.waiting) requests wait for \(described) already, as many as maximumWaiters allows. "
            + snapshot.explanation
        return PoolError(code: .exhausted, message: message, snapshot: snapshot, waited: now - began)
    }

    func connectFailedError(_ member: PoolMember, _ error: any Error, since began: Moment) -> PoolError {
        PoolError(
            code: .connectFailed,
            message: "opening a connection to \(member.label) for this request failed: \(error)",
            snapshot: snapshot(),
            waited: now - began,
            underlying: error
        )
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
        if serves.isEmpty { parts.append("out of service") }
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
