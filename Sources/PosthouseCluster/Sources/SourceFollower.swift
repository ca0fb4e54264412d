// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// What a source's answers are applied to.
protocol SourcedHosts<Endpoint>: Sendable {
    associatedtype Endpoint: Sendable, Hashable, CustomStringConvertible

    func sight(of endpoint: Endpoint) -> HostRoster<Endpoint>.Sight
    /// Whether nothing runs on the host.
    func isIdle(_ endpoint: Endpoint) -> Bool
    func add(_ endpoint: Endpoint)
    func allowReads(_ allows: Bool, on endpoint: Endpoint)
    func drain(_ endpoint: Endpoint)
    func undrain(_ endpoint: Endpoint)
    /// Interrupts what still runs there.
    func remove(_ endpoint: Endpoint)
}

/// Asks a source again and again, and applies what it says to a cluster: the shell around ``HostRoster`` and
/// ``SourceSchedule``.
///
/// One task does everything, so there is never more than one question, and actions never overtake each other.
final class SourceFollower<Source: TopologySource, Hosts: SourcedHosts<Source.Endpoint>>: Sendable {
    typealias Endpoint = Source.Endpoint
    typealias Answer = Result<[SourcedHost<Endpoint>], any Error>

    /// How often hosts that are being drained are looked at. Leases end without a word to anybody who waits for that: they
    /// are the fast path.
    static var drainLook: Duration { .milliseconds(50) }

    private let source: Source
    private let hosts: Hosts
    private let rules: SourceRules
    private let clock: any ClusterClock
    private let bell: SourceBell
    private let random: @Sendable () -> Double
    /// Is told when the source begins to fail, and when it answers again.
    private let notice: @Sendable (String) -> Void
    /// Whether a question is out. One that outlives its deadline is left behind, but no other is asked until it has ended.
    private let isAsking = Guarded(false)

    init(
        _ source: Source,
        hosts: Hosts,
        rules: SourceRules,
        clock: any ClusterClock,
        bell: SourceBell,
        random: @escaping @Sendable () -> Double,
        notice: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.source = source
        self.hosts = hosts
        self.rules = rules
        self.clock = clock
        self.bell = bell
        self.random = random
        self.notice = notice
    }

    /// Follows the source until the task is cancelled.
    func run() async {
        var roster = HostRoster<Endpoint>(rules: rules)
        var schedule = SourceSchedule(interval: source.refreshInterval, leastGap: rules.leastGap)
        while !Task.isCancelled {
            schedule.huntingSince = bell.huntingSince
            let now = clock.now
            let due = schedule.due(now: now)
            if due > now {
                let look = now + Self.drainLook
                _ = await bell.door.sleep(until: roster.draining.isEmpty ? due : min(due, look), clock: clock)
            } else {
                let answer = await ask()
                if Task.isCancelled { return }
                take(answer, roster: &roster, schedule: &schedule)
            }
            if Task.isCancelled { return }
            for action in roster.looked(now: clock.now, isIdle: { hosts.isIdle($0) }) { run(action) }
        }
    }

    private func take(_ answer: Answer, roster: inout HostRoster<Endpoint>, schedule: inout SourceSchedule) {
        let now = clock.now
        switch answer {
        case .success(let named) where !named.isEmpty:
            for action in roster.answered(named, now: now, sight: { hosts.sight(of: $0) }) { run(action) }
            if schedule.failures > 0 { notice("the source of hosts answers again") }
            schedule.asked(succeeded: true, at: now, random: random())
            bell.note(SourceStatus(answeredAt: now, hosts: named.count))
        case .success: takeFailure("it named no host", at: now, &schedule)
        case .failure(let error): takeFailure(String(describing: error), at: now, &schedule)
        }
    }

    private func takeFailure(_ reason: String, at now: ContinuousClock.Instant, _ schedule: inout SourceSchedule) {
        if schedule.failures == 0 { notice("the source of hosts fails, and the hosts stay as they are: \(reason)") }
        schedule.asked(succeeded: false, at: now, random: random())
        bell.noteFailure(reason)
    }

    private func run(_ action: HostRoster<Endpoint>.Action) {
        switch action {
        case .add(let endpoint, let takesReads):
            // In this order: it may answer at once.
            hosts.allowReads(takesReads, on: endpoint)
            hosts.add(endpoint)
        case .allowReads(let endpoint, let allows): hosts.allowReads(allows, on: endpoint)
        case .drain(let endpoint): hosts.drain(endpoint)
        case .undrain(let endpoint): hosts.undrain(endpoint)
        case .remove(let endpoint): hosts.remove(endpoint)
        }
    }

    /// One question. A source may ignore its deadline and its cancellation; this task does not wait for it then.
    private func ask() async -> Answer {
        let isFree = isAsking.withLock { isAsking in
            defer { isAsking = true }
            return !isAsking
        }
        guard isFree else { return .failure(SourceTimedOut(after: rules.deadline)) }
        let deadline = clock.now + rules.deadline
        let (answers, first) = AsyncStream.makeStream(of: Answer.self, bufferingPolicy: .bufferingOldest(1))
        // A source is other people's code: it stays off the thread that the monitors run on.
        let question = Task(name: "posthouse source", executorPreference: clock.workExecutor) { [self] in
            let answer: Answer
            do {
                answer = .success(try await source.hosts(deadline: deadline))
            } catch {
                answer = .failure(error)
            }
            isAsking.withLock { $0 = false }
            first.yield(answer)
            first.finish()
        }
        let alarm = Task(name: "posthouse source alarm", executorPreference: clock.executor) { [clock, rules] in
            guard (try? await clock.sleep(until: deadline)) != nil else { return }
            first.yield(.failure(SourceTimedOut(after: rules.deadline)))
            first.finish()
        }
        defer {
            question.cancel()
            alarm.cancel()
        }
        // Ends early, without an answer, when this task is cancelled.
        for await answer in answers { return answer }
        return .failure(CancellationError())
    }
}

/// The source did not answer before its deadline.
struct SourceTimedOut: Error, CustomStringConvertible {
    let deadline: Duration

    init(after deadline: Duration) {
        self.deadline = deadline
    }

    var description: String { "no answer within \(deadline)" }
}
