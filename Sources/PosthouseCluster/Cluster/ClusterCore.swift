// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthousePool

/// The shell around the ``TopologyMachine``: runs its actions on monitors, pools and subscribers.
///
/// Evidence arrives from many threads. It is handled one piece at a time, in the order of arrival: whoever finds
/// nobody at work works until the inbox is empty. So actions never overtake each other, no lock is held while they
/// run, and an action may bring new evidence without a deadlock.
@usableFromInline
final class ClusterCore<Driver: ClusterDriver>: Sendable {
    @usableFromInline let driver: Driver
    @usableFromInline let configuration: ClusterConfiguration
    @usableFromInline let clock: any ClusterClock
    @usableFromInline let group: PoolGroup<Driver.Connection>
    let events = EventBroadcast<ClusterEvent>(capacity: 1024)
    let changes = ConditionQueue<ReadinessCount>()
    /// When the check began that is the oldest among the last ones of all hosts.
    let checks = ConditionQueue<ContinuousClock.Instant?>()
    let freshness: Freshness<Driver.Connection>
    @usableFromInline let router: Router<Driver.Connection>
    let random: @Sendable () -> Double
    /// Of each host's pool.
    let poolConfiguration: PoolConfiguration
    /// Held while hosts are added or removed. No other lock is held when it is taken.
    let membership = Guarded(())
    let link = CoreLink<Driver>()
    let alarm = Doorbell()
    let sourceBell: SourceBell

    struct State {
        var machine: TopologyMachine
        /// At the machine's indexes. One may be there before the machine has heard of it.
        var slots: [HostSlot<Driver>] = []
        var inbox: [TopologyMachine.Event] = []
        var isWorking = false
        var isStopped = false
        /// When the alarm rings, if nobody tells it that it has to do so earlier.
        var alarmAt: ContinuousClock.Instant?
        var rangAt: ContinuousClock.Instant?
        var tasks: [Task<Void, Never>] = []
        var withholding = Withholding<Driver.Endpoint>()
        /// Cancelled at the end, but not waited for: they run foreign code.
        var witnessTasks: [Task<Void, Never>] = []
        /// The witness has been asked and has not returned.
        var witnessIsBusy = false
    }

    let state: Guarded<State>

    init(
        endpoints: [Driver.Endpoint],
        driver: Driver,
        configuration: ClusterConfiguration,
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double,
        observer: (any PoolObserver)?
    ) throws(PoolError) {
        self.driver = driver
        self.configuration = configuration
        self.clock = clock
        self.random = random
        self.sourceBell = SourceBell(huntingSince: clock.now)
        var poolConfiguration = configuration.pool
        if driver.validatesEachHandOut { poolConfiguration.validation = .always }
        self.poolConfiguration = poolConfiguration
        self.group = try PoolGroup<Driver.Connection>(
            validating: PoolGroupConfiguration(
                name: configuration.name,
                acquireTimeout: configuration.acquireTimeout,
                maximumWaiters: configuration.maximumWaiters,
                failFastAfter: configuration.failFastAfter,
                overload: configuration.overload,
                budget: configuration.budget,
                seed: configuration.seed
            ),
            time: clock,
            observer: observer
        )
        self.freshness = Freshness(group, longestGap: configuration.refreshDelay * 2 + configuration.refreshTimeout)
        self.router = Router(configuration, group: group, clock: clock, random: random)
        self.state = Guarded(
            State(
                machine: TopologyMachine(
                    labels: endpoints.map { String(describing: $0) },
                    settings: TopologyMachine.Settings(
                        fencing: configuration.fencing.rule,
                        evidenceLife: configuration.evidenceLife,
                        guards: .all.subtracting(TopologyMachine.Guards(rawValue: configuration.guardsLeftOut))
                    )
                )
            )
        )
        link.attach(self)
        do throws(PoolError) {
            var slots: [HostSlot<Driver>] = []
            for (host, endpoint) in endpoints.enumerated() { slots.append(try makeSlot(for: endpoint, host: host)) }
            start(slots)
        } catch {
            halt()
            throw error
        }
    }

    private func start(_ slots: [HostSlot<Driver>]) {
        // Before the first of them can bring evidence, which may call for all of them.
        state.withLock { $0.slots = slots }
        for host in slots.indices { startMonitor(of: host) }
        let watch = SilenceWatch(clock: clock)
        let tasks = [
            Task(name: "posthouse watch", executorPreference: clock.executor) { [link] in
                await watch.run { watch in link.core?.listen(to: &watch) ?? false }
            },
            Task(name: "posthouse alarm", executorPreference: clock.executor) { [link, alarm, clock] in
                while let due = link.core?.armAlarm(), !Task.isCancelled {
                    _ = await alarm.sleep(until: due, clock: clock)
                    link.core?.alarmRang()
                }
            },
        ]
        state.withLock { $0.tasks += tasks }
    }

    // MARK: - Evidence

    func take(_ check: HostMonitor<Driver>.Check, of host: Int) {
        switch check.outcome {
        case .success(let report):
            let median: (MemberID, Duration?)? = state.withLock { state in
                state.slots[host].stopwatch.record(check.responseTime)
                return router.wantsMedians ? (state.slots[host].member, state.slots[host].stopwatch.median) : nil
            }
            if let (member, median) = median, let median { router.note(median: median, of: member) }
            post(.reported(host: host, report, asked: check.began))
        case .failure(let failure):
            post(.failed(host: host, failure, fresh: check.fresh, heard: check.wasHeard))
        }
        // Whoever sees this finds the event posted.
        state.withLock { $0.slots[host].checkedAt = check.began }
        checks.post(oldestCheck)
    }

    /// Called at every tick: suspects the hosts whose users wait and get nothing.
    private func listen(to watch: inout SilenceWatch) -> Bool {
        let silent = watch.silentHosts(in: group.activity(), now: clock.now)
        for host in silent { post(.suspected(host: host, .silence)) }
        return !state.withLock { $0.isStopped }
    }

    /// Refuses a connection for users that reached neither the server that the monitor speaks for nor a replica that is as good.
    /// What it was told is evidence in any case.
    func admit(_ report: HostReport, to host: Int, asked: ContinuousClock.Instant) throws(HostFailure) {
        let reach = state.withLock { $0.machine.reach(of: report, at: host) }
        // That is judged again after whatever is known by then.
        post(.admitted(host: host, report, asked: asked, as: reach))
        guard reach == .another else { return }
        throw HostFailure(
            .unreachable,
            reason: "the address answered with another server than the one last checked; it is checked anew"
        )
    }

    func suspect(_ host: Int, _ evidence: PassiveEvidence) {
        post(.suspected(host: host, evidence))
    }

    func post(_ event: TopologyMachine.Event) {
        state.withLock { state in
            if !state.isStopped { state.inbox.append(event) }
        }
        work()
    }

    /// Empties the inbox, unless somebody does already.
    func work() {
        let works = state.withLock { state in
            guard !state.isStopped, !state.isWorking, state.hasWork else { return false }
            state.isWorking = true
            return true
        }
        guard works else { return }
        while true {
            let (now, work) = state.withLock { state -> (ContinuousClock.Instant, Work?) in
                // Not before the evidence that is about to be handled was posted.
                let now = clock.now
                guard state.hasWork else {
                    state.isWorking = false
                    return (now, nil)
                }
                if let routine = state.takeRoutine(now: now) { return (now, .routine(routine)) }
                // What is withheld comes after all evidence, so that writes that go on know of it.
                let version = state.inbox.isEmpty ? state.withholding.version : nil
                let event = state.inbox.isEmpty ? nil : state.inbox.removeFirst()
                let actions = event.map { state.machine.handle($0, now: now) } ?? state.services
                var wakesEarlier = false
                if let alarmAt = state.alarmAt, let wakeAt = state.machine.wakeAt, wakeAt < alarmAt {
                    state.alarmAt = wakeAt
                    wakesEarlier = true
                }
                let count = ReadinessCount(of: state.machine.hosts)
                let step = Step(
                    event: event,
                    actions: actions,
                    machine: state.machineForReads,
                    count: count,
                    slots: state.slots,
                    wakesEarlier: wakesEarlier,
                    readless: state.withholding.readless,
                    withholding: version
                )
                return (now, .step(step))
            }
            let step: Step
            switch work {
            case nil: return
            case .routine(let routine):
                freshness.note(routine, now: now)
                continue
            case .step(let next): step = next
            }
            // Before anybody is sent to a host that is back.
            router.note(step.machine.hosts.map(\.slowStart))
            for action in step.actions { run(action, on: step.slots) }
            freshness.note(
                step.event,
                step.machine,
                step.slots.map(\.member),
                readless: Set(step.slots.indices.filter { step.readless.contains(step.slots[$0].endpoint) }),
                now: now
            )
            if let version = step.withholding { state.withLock { $0.withholding.appliedVersion = version } }
            if step.wakesEarlier { alarm.ring() }
            if !step.actions.isEmpty { changes.post(step.count) }
        }
    }

    private enum Work {
        case step(Step)
        case routine(RoutineReport)
    }

    private struct Step {
        let event: TopologyMachine.Event?
        let actions: [TopologyMachine.Action]
        let machine: TopologyMachine
        let count: ReadinessCount
        let slots: [HostSlot<Driver>]
        let wakesEarlier: Bool
        let readless: Set<Driver.Endpoint>
        /// The version of what is withheld that the actions bring into force.
        let withholding: Int?
    }

    private func run(_ action: TopologyMachine.Action, on slots: [HostSlot<Driver>]) {
        switch action {
        case .serve(let host, let services):
            let allowed = withholding.allowed(services, on: slots[host].endpoint)
            group.setServices(allowed, for: slots[host].member)
            tell { .serves(String(describing: slots[host].endpoint), allowed) }
        case .fence(let host):
            group.fence(slots[host].member)
            tell { .serves(String(describing: slots[host].endpoint), []) }
        case .expire(let host): group.expire(slots[host].member)
        case .check(let host): slots[host].monitor.checkNow()
        case .renew(let host): slots[host].monitor.renew()
        case .compare(let host): slots[host].monitor.compare()
        case .beginGrace: beginGrace()
        case .hunt(let hunts):
            for slot in slots { slot.monitor.hunt(hunts) }
            sourceBell.hunt(hunts, now: clock.now)
        case .askWitness(let question): askWitness(question)
        case .emit(let event):
            events.send(event)
            tell { .event(event) }
        }
    }

    private func tell(_ step: () -> TopologyStep) {
        configuration.stepObserver?(step())
    }

    // MARK: - State

    /// The hosts that were not removed.
    var activeEndpoints: [Driver.Endpoint] {
        state.withLock { $0.slots.filter { !$0.isRemoved }.map(\.endpoint) }
    }

    /// "host:port" of a pool's host.
    func label(of member: MemberID) -> String {
        let endpoint = state.withLock { state in state.slots.first { $0.member == member }?.endpoint }
        return endpoint.map { String(describing: $0) } ?? ""
    }

    /// See ``checks``; nil if there is a host that was not checked yet, or none.
    var oldestCheck: ContinuousClock.Instant? {
        state.withLock { state in
            var oldest: ContinuousClock.Instant?
            for index in state.slots.indices where !state.slots[index].isRemoved {
                guard let checkedAt = state.slots[index].checkedAt else { return nil }
                oldest = min(oldest ?? checkedAt, checkedAt)
            }
            return oldest
        }
    }

    var readiness: ReadinessCount { state.withLock { ReadinessCount(of: $0.machine.hosts) } }

    func snapshot() -> ClusterSnapshot {
        let now = clock.now
        let (machine, slots, isPaused) = state.withLock { ($0.machine, $0.slots, $0.withholding.pauses > 0) }
        // It may know more hosts by now, but none less.
        let pool = group.snapshot()
        let hosts = machine.hosts.enumerated().filter { !$0.element.isRemoved }.map { index, host in
            ClusterSnapshot.Host(
                host: host.label,
                state: host.state,
                role: host.role,
                reason: host.reason,
                serves: host.serves,
                isDrained: host.isDrained,
                isHeldDown: host.isHeldDown,
                slowStartWeight: host.slowStart.weight(at: now),
                report: host.report,
                answeredAt: host.reportedAt,
                lag: freshness.lag(of: index),
                responseTime: slots[index].stopwatch.last,
                medianResponseTime: slots[index].stopwatch.median,
                pool: pool.members[index]
            )
        }
        return ClusterSnapshot(
            hosts: hosts,
            primary: machine.primary.map { machine.hosts[$0].label },
            systemIdentifier: machine.systemIdentifier,
            timeline: machine.highestTimeline,
            fenceLevel: machine.fenceLevel,
            waiting: pool.waiting,
            writesArePaused: isPaused,
            source: sourceBell.status
        )
    }

    // MARK: - End

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Stops the monitors; the last of them closes its session soon after.
    func stop() async {
        let tasks = halt()
        for task in tasks { await task.value }
    }

    @discardableResult
    func halt() -> [Task<Void, Never>] {
        let (tasks, witnessTasks) = state.withLock { state in
            state.isStopped = true
            state.inbox = []
            defer {
                state.tasks = []
                state.witnessTasks = []
                for host in state.slots.indices { state.slots[host].task = nil }
            }
            return (state.tasks + state.slots.compactMap(\.task), state.witnessTasks)
        }
        for task in tasks + witnessTasks { task.cancel() }
        link.detach()
        changes.close()
        checks.close()
        freshness.close()
        events.finish()
        return tasks
    }
}
