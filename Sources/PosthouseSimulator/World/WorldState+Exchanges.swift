// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

// The way of a question to the server and of its answer back.

extension WorldState {
    /// Sends a question.
    mutating func begin(
        _ request: Exchange.Request,
        at address: Int,
        session: Int?,
        deadline: Int64,
        _ world: SimulatedWorld
    ) -> UInt64 {
        let index = freeExchanges.popLast() ?? exchanges.count
        if index == exchanges.count { exchanges.append(Exchange()) }
        let (use, step) = (exchanges[index].use &+ 1, exchanges[index].step)
        let host = session.map { sessions[$0].host } ?? routes[address]
        exchanges[index] = Exchange(
            phase: .outbound,
            request: request,
            host: host,
            address: address,
            incarnation: session.map { sessions[$0].incarnation } ?? 0,
            began: now,
            session: session,
            deadline: deadline,
            step: step,
            use: use
        )
        if let session { sessions[session].exchange = index }
        if isExhausted, session == nil {
            let failure = Answer.failure(.exhausted)
            exchanges[index].phase = .inbound(failure)
            finish(index, failure)
            return Self.token(.step, index, use)
        }
        count(request, to: host, at: address)
        if isCut[host] {
            exchanges[index].phase = .stuckOutbound
            setAlarm(index, world)
        } else {
            travel(index, delay(), world)
        }
        return Self.token(.step, index, use)
    }

    private mutating func count(_ request: Exchange.Request, to host: Int, at address: Int) {
        switch request {
        case .connect(let purpose):
            tally.connect(to: address, for: purpose, at: now)
            note(0x100 + UInt64(host), "connect to \(host) for \(purpose)")
        case .probe:
            tally.probe(of: address, at: now)
            note(0x200 + UInt64(host), "probe \(host)")
        case .ping: note(0x280 + UInt64(host), "ping \(host)")
        case .insert(let id, let leasedAt):
            note(0x300 + UInt64(host) ^ id << 16, "insert \(id) at \(host)")
            inspect(host, address, isWrite: true, leasedAt: leasedAt)
        case .read(let leasedAt):
            note(0x400 + UInt64(host), "read at \(host)")
            inspect(host, address, isWrite: false, leasedAt: leasedAt)
        }
    }

    /// A statement leaves the process.
    private mutating func inspect(_ index: Int, _ address: Int, isWrite: Bool, leasedAt: Int64) {
        let host = hosts[index]
        if host.isForeign { return tally.violate("a statement went to a server of another cluster", at: now) }
        let isKnown = evidence.knowsAsPrimary(index, at: address, now: now)
        tally.send(to: index, host, isWrite: isWrite, isKnownAsPrimary: isKnown, evidence, at: now)
        if let objection = perception.objection(to: address, leasedAt: leasedAt, at: now) {
            tally.violate("a statement went to host \(address): \(objection)", at: now)
        }
        guard isWrite else { return }
        if let writer = perception.writers.first, !perception.writers.contains(address), !leads(writer, to: index) {
            tally.violate("a write went to host \(address), and host \(writer) takes the writes", at: now)
        }
        if host.isCopy, isPrimaryUndoubted {
            tally.violate("a write went to host \(address), a copy, though nothing was wrong with the primary", at: now)
        }
    }

    /// Whether that is another name of the server.
    func leads(_ address: Int, to host: Int) -> Bool {
        routes[address] == host
            || sessions.contains { $0.connection != nil && $0.address == address && $0.host == host }
    }

    /// The next step comes after so long; the deadline may come before.
    private mutating func travel(_ index: Int, _ duration: Int64, _ world: SimulatedWorld) {
        exchanges[index].step &+= 1
        let at = now + duration
        time.add(world, token: Self.token(.step, index, exchanges[index].step), at: at)
        if at > exchanges[index].deadline { setAlarm(index, world) }
    }

    /// Nobody knows when it goes on.
    private mutating func setAlarm(_ index: Int, _ world: SimulatedWorld) {
        guard !exchanges[index].hasAlarm, !exchanges[index].isOrphan, exchanges[index].deadline < .max else { return }
        exchanges[index].hasAlarm = true
        time.add(world, token: Self.token(.deadline, index, exchanges[index].use), at: exchanges[index].deadline)
    }

    mutating func stepDue(_ index: Int, _ step: UInt32, _ world: SimulatedWorld) {
        guard exchanges[index].step == step else { return }
        switch exchanges[index].phase {
        case .outbound: arrive(index, world)
        case .inbound(let answer):
            if isCut[exchanges[index].host] {
                exchanges[index].phase = .stuckInbound(answer)
                setAlarm(index, world)
            } else {
                finish(index, answer)
            }
        case .free, .stuckOutbound, .queued, .committing, .stuckInbound: return
        }
    }

    mutating func deadlineDue(_ index: Int, _ use: UInt32) {
        guard exchanges[index].use == use, !exchanges[index].isOrphan else { return }
        if case .free = exchanges[index].phase { return }
        finish(index, .failure(.timedOut))
    }

    // MARK: - At the server

    private mutating func arrive(_ index: Int, _ world: SimulatedWorld) {
        let host = exchanges[index].host
        if isCut[host] {
            exchanges[index].phase = .stuckOutbound
            return setAlarm(index, world)
        }
        switch hosts[host].condition {
        case .gone:
            exchanges[index].phase = .stuckOutbound
            setAlarm(index, world)
        case .frozen:
            exchanges[index].phase = .queued
            setAlarm(index, world)
        case .stopped:
            let isConnect = exchanges[index].session == nil
            answer(index, .failure(isConnect ? .refused : .lost), world)
        case .starting:
            let isConnect = exchanges[index].session == nil
            answer(index, .failure(isConnect ? .starting : .lost), world)
        case .running: serve(index, host, world)
        }
    }

    private mutating func serve(_ index: Int, _ host: Int, _ world: SimulatedWorld) {
        if exchanges[index].session != nil, exchanges[index].incarnation != hosts[host].incarnation {
            return answer(index, .failure(.lost), world)
        }
        let isInRecovery = hosts[host].isInRecovery
        switch exchanges[index].request {
        case .connect:
            let isBusy = hosts[host].isBusy
            let welcome = Answer.connected(
                host: host,
                incarnation: hosts[host].incarnation,
                isInRecovery: isInRecovery
            )
            answer(index, isBusy ? .failure(.busy) : welcome, world)
        case .probe: answer(index, .report(report(of: host)), world)
        case .read, .ping: answer(index, .rows(isInRecovery: isInRecovery), world)
        case .insert(let id, _):
            if isInRecovery { return answer(index, .failure(.readOnly), world) }
            if hosts[host].isCopy || hosts[host].isForeign {
                strays.insert(id)
                return answer(index, .inserted, world)
            }
            hosts[host].position = history.append(id, on: hosts[host].timeline)
            if isSynchronous {
                exchanges[index].phase = .committing
                setAlarm(index, world)
                hosts[host].committing.append((hosts[host].position, index))
            } else {
                answer(index, .inserted, world)
            }
            ship(from: host, world)
        }
    }

    /// The answer leaves the server.
    mutating func answer(_ index: Int, _ answer: Answer, _ world: SimulatedWorld) {
        if exchanges[index].isOrphan { return free(index) }
        let host = exchanges[index].host
        exchanges[index].phase = .inbound(answer)
        if isCut[host] {
            exchanges[index].phase = .stuckInbound(answer)
            setAlarm(index, world)
        } else {
            travel(index, delay() + hosts[host].slowness, world)
        }
    }

    // MARK: - Back in the process

    /// Whoever asked gets his answer, or is told that there is none.
    mutating func finish(_ index: Int, _ answer: Answer) {
        if exchanges[index].isOrphan { return free(index) }
        take(answer, index)
        exchanges[index].isOrphan = true
        let continuation = exchanges[index].continuation
        exchanges[index].continuation = nil
        if continuation == nil {
            // It is fetched, and the place free then.
            exchanges[index].answer = answer
            return
        }
        release(index)
        continuation?.resume(returning: answer)
    }

    /// What an answer tells beside what was asked.
    private mutating func take(_ answer: Answer, _ index: Int) {
        let exchange = exchanges[index]
        perceive(answer, exchange)
        note(0x500 + UInt64(exchange.host), "\(exchange.host) answers \(answer)")
        guard let session = exchange.session else { return }
        sessions[session].exchange = nil
        guard let connection = sessions[session].connection else { return }
        var isInRecovery = sessions[session].isInRecovery
        switch answer {
        case .report(let report):
            // Who was removed before its answer came may be promoted apart: that is not about this cluster.
            if perception.isMember(exchange.address) {
                let isOurs = !hosts[exchange.host].isForeign
                if let timeline = report.timeline, isOurs { evidence.note(timeline, at: now) }
                evidence.note(isInRecovery: report.isInRecovery, of: exchange.host, at: exchange.address, now: now)
            }
            isInRecovery = report.isInRecovery
        case .rows(let recovers): isInRecovery = recovers
        case .inserted: isInRecovery = false
        case .failure(.readOnly):
            isInRecovery = true
            notices.append(.evidence(connection, .writeRefused))
        case .failure(let kind):
            connection.breakDown()
            if kind == .lost { notices.append(.evidence(connection, .connectionLost)) }
        case .connected: break
        }
        // As servers from PostgreSQL 14 on report it with every answer.
        if sessions[session].isInRecovery, !isInRecovery { notices.append(.evidence(connection, .leftRecovery)) }
        sessions[session].isInRecovery = isInRecovery
    }

    /// What can be known of the host from an answer.
    private mutating func perceive(_ answer: Answer, _ exchange: Exchange) {
        var isFirst = true
        let asker: Perception.Asker
        switch (exchange.request, exchange.session) {
        case (_, let session?) where sessions[session].isMonitors:
            asker = .monitor
            isFirst = !sessions[session].hasAnswered
            sessions[session].hasAnswered = true
        case (.connect(.monitor), _): asker = .monitor
        case (.insert, _), (.read, _): asker = .user
        case (.connect, _), (.probe, _), (.ping, _): asker = .pool
        }
        switch answer {
        case .report(let report):
            perception.answered(exchange.address, report, asker, asked: exchange.began, at: now)
        case .connected, .inserted, .rows: perception.answered(exchange.address, asker, at: now)
        case .failure(let kind):
            perception.failed(exchange.address, kind, asker, isFirst: isFirst, asked: exchange.began, at: now)
        }
    }

    /// The process is done with it; the server may not be.
    private mutating func release(_ index: Int) {
        switch exchanges[index].phase {
        case .outbound, .stuckOutbound, .queued, .committing: exchanges[index].isOrphan = true
        case .inbound, .stuckInbound, .free: free(index)
        }
    }

    mutating func free(_ index: Int) {
        if case .free = exchanges[index].phase { return }
        exchanges[index].phase = .free
        exchanges[index].step &+= 1
        exchanges[index].use &+= 1
        exchanges[index].answer = nil
        freeExchanges.append(index)
    }

    mutating func wait(_ token: UInt64, _ continuation: UnsafeContinuation<Answer, Never>) {
        let index = Int(token >> 32 & 0x3FFF_FFFF)
        if let answer = exchanges[index].answer {
            exchanges[index].answer = nil
            release(index)
            continuation.resume(returning: answer)
        } else {
            exchanges[index].continuation = continuation
        }
    }

    /// Nobody wants the answer any more.
    mutating func abandon(_ token: UInt64, _ kind: SimulatedError.Kind) {
        let index = Int(token >> 32 & 0x3FFF_FFFF)
        guard exchanges[index].use == UInt32(truncatingIfNeeded: token), !exchanges[index].isOrphan else { return }
        finish(index, .failure(kind))
    }
}
