// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster
import PosthousePool

/// Servers and a network that exist in memory only, and that all go wrong on demand.
///
/// The servers do what clients see of PostgreSQL: one of them writes, the others follow it with some delay, commits may wait
/// for one of those; each run of a server has its own incarnation, each promotion its own timeline; sessions end with their
/// server's run.
public final class SimulatedWorld: Sendable {
    /// The time that everything here takes.
    public let time: SimulatedTime
    private let state: Guarded<WorldState>
    private let membership = Guarded<Membership?>(nil)

    init(_ state: consuming WorldState) {
        time = state.time
        self.state = Guarded(state)
    }

    /// Has something happen now.
    public func apply(_ fault: Fault) {
        change { $0.apply(fault, self) }
        membership.withLock { $0 }?.apply(fault, in: self)
    }

    /// Whom faults that change the membership are for; nil in the end, because it holds the cluster, which holds this.
    func set(_ membership: Membership?) {
        self.membership.withLock { $0 = membership }
    }

    /// Has it happen at that time.
    func plan(_ faults: [ScheduledFault], _ errand: any Errand) {
        for (index, fault) in faults.enumerated() {
            time.add(errand, token: UInt64(index), at: Int64(fault.milliseconds) * 1_000_000)
        }
    }

    func look<Result: Sendable>(_ body: (borrowing WorldState) -> Result) -> Result {
        state.withLock { body($0) }
    }

    /// Changes the world, and tells observers what follows once nobody looks.
    func change<Result: Sendable>(_ body: (inout WorldState) -> Result) -> Result {
        let (result, notices) = state.withLock { state in
            let result = body(&state)
            if state.notices.isEmpty { return (result, [WorldState.Notice]()) }
            defer { state.notices = [] }
            return (result, state.notices)
        }
        for notice in notices {
            switch notice {
            case .evidence(let connection, let evidence): connection.observer.connection(noticed: evidence)
            case .idleInput(let connection):
                if connection.observer.withIdleClaim({ .evict }) {
                    connection.observer.connection(noticed: .connectionLost)
                }
            }
        }
        return result
    }

    /// The index of the host that an up-to-date operator would call the primary, and the ids that it has.
    var ids: [UInt64] {
        look { world in
            let primary = world.hosts[world.primary]
            return world.history.ids(of: primary.timeline, upTo: primary.position)
        }
    }

    func note(_ code: UInt64, _ line: @autoclosure () -> String) {
        state.withLock { $0.note(code, line()) }
    }

    func violate(_ what: String) {
        state.withLock { $0.tally.violate(what, at: $0.now) }
    }

    // MARK: - Questions

    /// - Parameter address: Which server that is depends on when a session was opened.
    func ask(
        _ request: Exchange.Request,
        at address: Int,
        session: SimulatedConnection?,
        deadline: ContinuousClock.Instant?
    ) async throws -> Answer {
        let end = deadline.map(SimulatedTime.nanoseconds(of:)) ?? .max
        let token = change { $0.begin(request, at: address, session: session?.index, deadline: end, self) }
        let answer = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in change { $0.wait(token, continuation) } }
        } onCancel: {
            change { $0.abandon(token, .cancelled) }
        }
        if case .failure(let kind) = answer {
            if kind == .cancelled { throw CancellationError() }
            throw SimulatedError(kind)
        }
        return answer
    }

    // MARK: - Sessions

    func open(
        _ address: Int,
        for purpose: ConnectionPurpose,
        to host: Int,
        incarnation: Int64,
        isInRecovery: Bool,
        _ observer: any ConnectionObserver
    ) -> SimulatedConnection {
        change { state in
            let index = state.freeSessions.popLast() ?? state.sessions.count
            if index == state.sessions.count { state.sessions.append(WorldState.Session()) }
            let connection = SimulatedConnection(index: index, address: address, host: host, observer: observer)
            state.sessions[index].use &+= 1
            state.sessions[index].host = host
            state.sessions[index].address = address
            state.sessions[index].isMonitors = purpose == .monitor
            state.sessions[index].hasAnswered = false
            state.sessions[index].incarnation = incarnation
            state.sessions[index].connection = connection
            state.sessions[index].exchange = nil
            state.sessions[index].isInRecovery = isInRecovery
            state.openSessions += 1
            return connection
        }
    }

    func close(_ connection: SimulatedConnection) {
        change { state in
            guard state.sessions[connection.index].connection === connection else { return }
            connection.breakDown()
            if let exchange = state.sessions[connection.index].exchange {
                state.finish(exchange, .failure(.interrupted))
            }
            state.sessions[connection.index].use &+= 1
            state.sessions[connection.index].connection = nil
            state.freeSessions.append(connection.index)
            state.openSessions -= 1
        }
    }

    func interrupt(_ connection: SimulatedConnection) {
        change { state in
            guard state.sessions[connection.index].connection === connection else { return }
            connection.breakDown()
            if let exchange = state.sessions[connection.index].exchange {
                state.finish(exchange, .failure(.interrupted))
            }
        }
    }

    /// Whether it waits for an answer.
    func isBusy(_ connection: SimulatedConnection) -> Bool {
        look { state in
            state.sessions[connection.index].connection === connection
                && state.sessions[connection.index].exchange != nil
        }
    }
}

extension SimulatedWorld: Errand {
    func run(_ token: UInt64) {
        let index = Int(token >> 32 & 0x3FFF_FFFF)
        let number = UInt32(truncatingIfNeeded: token)
        change { state in
            switch WorldState.Due(rawValue: token >> 62) {
            case .step: state.stepDue(index, number, self)
            case .deadline: state.deadlineDue(index, number)
            case .reset: state.resetDue(index, number)
            case .other:
                if index >= 1000 {
                    state.startDue(index - 1000, number, self)
                } else {
                    state.shipmentDue(index - 1, self)
                }
            case nil: return
            }
        }
    }
}
