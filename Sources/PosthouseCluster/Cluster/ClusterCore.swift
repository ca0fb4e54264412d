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
    let endpoints: [Driver.Endpoint]
    @usableFromInline let configuration: ClusterConfiguration
    @usableFromInline let clock: any ClusterClock
    @usableFromInline let group: PoolGroup<Driver.Connection>
    let members: [MemberID]
    let events = EventBroadcast<ClusterEvent>(capacity: 1024)
    let changes = ConditionQueue<ReadinessCount>()
    let sourceBell: SourceBell

    private struct State {
        var machine: TopologyMachine
        var stopwatches: [Stopwatch]
        var inbox: [TopologyMachine.Event] = []
        var isWorking = false
        var isStopped = false
        var monitors: [HostMonitor<Driver>] = []
        var tasks: [Task<Void, Never>] = []
        var withholding = Withholding<Driver.Endpoint>()
        /// When the last check of each host began that has ended.
        var checkedAt: [ContinuousClock.Instant?]
    }

    private let state: Guarded<State>
    private let links: [HostLink<Driver>]

    init(
        endpoints: [Driver.Endpoint],
        driver: Driver,
        configuration: ClusterConfiguration,
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double,
        observer: (any PoolObserver)?
    ) throws(PoolError) {
        self.driver = driver
        self.endpoints = endpoints
        self.configuration = configuration
        self.clock = clock
        let group = try PoolGroup<Driver.Connection>(
            validating: PoolGroupConfiguration(
                name: configuration.name,
                acquireTimeout: configuration.acquireTimeout,
                maximumWaiters: configuration.maximumWaiters,
                failFastAfter: configuration.failFastAfter,
                overload: configuration.overload,
                budget: configuration.budget
            ),
            time: clock,
            observer: observer
        )
        self.group = group
        var pool = configuration.pool
        if driver.validatesEachHandOut { pool.validation = .always }
        let links = endpoints.indices.map { HostLink<Driver>(host: $0) }
        var members: [MemberID] = []
        for (endpoint, link) in zip(endpoints, links) {
            let strategy = HostStrategy(
                endpoint: endpoint,
                driver: driver,
                clock: clock,
                connectTimeout: pool.connectTimeout,
                workTimeout: pool.workTimeout,
                link: link
            )
            let label = String(describing: endpoint)
            members.append(
                try group.addMember(label: label, configuration: pool, strategy: strategy)
            )
        }
        self.members = members
        self.sourceBell = SourceBell(huntingSince: clock.now)
        self.links = links
        self.state = Guarded(
            State(
                machine: TopologyMachine(labels: endpoints.map { String(describing: $0) }),
                stopwatches: endpoints.map { _ in Stopwatch(window: configuration.stopwatchWindowSize) },
                checkedAt: endpoints.map { _ in nil }
            )
        )
        for link in links { link.attach(self) }
        start(links, random: random)
    }

    private func start(_ links: [HostLink<Driver>], random: @escaping @Sendable () -> Double) {
        let monitors = zip(endpoints, links).map { endpoint, link in
            HostMonitor(
                endpoint: endpoint,
                driver: driver,
                clock: clock,
                refreshDelay: configuration.refreshDelay,
                timeout: configuration.refreshTimeout,
                observer: MonitorObserver(link: link),
                random: random
            )
        }
        // Before the first of them can bring evidence, which may call for all of them.
        state.withLock { $0.monitors = monitors }
        var tasks = zip(monitors, links).map { monitor, link in
            Task(name: "posthouse monitor \(endpoints[link.host])", executorPreference: clock.executor) {
                await monitor.run { check in link.core?.take(check, of: link.host) }
            }
        }
        let watch = SilenceWatch(clock: clock)
        tasks.append(
            Task(name: "posthouse watch", executorPreference: clock.executor) {
                await watch.run { watch in links[0].core?.listen(to: &watch) ?? false }
            }
        )
        state.withLock { $0.tasks += tasks }
    }

    // MARK: - Evidence

    private func take(_ check: HostMonitor<Driver>.Check, of host: Int) {
        switch check.outcome {
        case .success(let report):
            state.withLock { $0.stopwatches[host].record(check.responseTime) }
            post(.reported(host: host, report, asked: check.began))
        case .failure(let failure):
            post(.failed(host: host, failure, fresh: check.fresh))
        }
        // Whoever sees this finds the event posted.
        state.withLock { $0.checkedAt[host] = check.began }
    }

    /// Called at every tick: suspects the hosts whose users wait and get nothing.
    private func listen(to watch: inout SilenceWatch) -> Bool {
        let silent = watch.silentHosts(in: group.activity(), now: clock.now)
        for host in silent { post(.suspected(host: host, .silence)) }
        return !state.withLock { $0.isStopped }
    }

    /// Whether a new pool connection reached the server that the monitor speaks for; if so its report is evidence too.
    func admit(_ report: HostReport, to host: Int, asked: ContinuousClock.Instant) throws(HostFailure) {
        let known = state.withLock { $0.machine.hosts[host].report }
        guard let known, let ours = known.incarnation, let theirs = report.incarnation, ours != theirs else {
            return post(.reported(host: host, report, asked: asked))
        }
        // Several replicas may share an address.
        if known.isInRecovery, report.isInRecovery, known.systemIdentifier == report.systemIdentifier,
            known.timeline == report.timeline
        {
            return
        }
        post(.glimpsed(host: host, report))
        throw HostFailure(
            .unreachable,
            reason: "the address answered with another server than the one last checked; it is checked anew"
        )
    }

    func suspect(_ host: Int, _ evidence: PassiveEvidence) {
        post(.suspected(host: host, evidence))
    }

    private func post(_ event: TopologyMachine.Event) {
        let works = state.withLock { state in
            guard !state.isStopped else { return false }
            state.inbox.append(event)
            defer { state.isWorking = true }
            return !state.isWorking
        }
        if works { work() }
    }

    /// What one piece of evidence, or a change of what is withheld, leads to.
    private struct Step {
        var actions: [TopologyMachine.Action]
        var count: ReadinessCount
        var monitors: [HostMonitor<Driver>]
        /// The version of what is withheld that the actions bring into force.
        var withholding: Int?
    }

    private func work() {
        while let step = nextStep(now: clock.now) {
            for action in step.actions { run(action, on: step.monitors) }
            if let version = step.withholding { state.withLock { $0.withholding.appliedVersion = version } }
            if !step.actions.isEmpty { changes.post(step.count) }
        }
    }

    private func nextStep(now: ContinuousClock.Instant) -> Step? {
        state.withLock { state in
            let actions: [TopologyMachine.Action]
            var version: Int?
            if !state.inbox.isEmpty {
                actions = state.machine.handle(state.inbox.removeFirst(), now: now)
            } else if !state.withholding.isApplied {
                // After all evidence, so that writes that go on know of it.
                actions = state.machine.hosts.enumerated().map { .serve(host: $0, $1.serves) }
                version = state.withholding.version
            } else {
                state.isWorking = false
                return nil
            }
            let count = ReadinessCount(of: state.machine.hosts)
            return Step(actions: actions, count: count, monitors: state.monitors, withholding: version)
        }
    }

    private func run(_ action: TopologyMachine.Action, on monitors: [HostMonitor<Driver>]) {
        switch action {
        case .serve(let host, let services):
            group.setServices(withholding.allowed(services, on: endpoints[host]), for: members[host])
        case .fence(let host): group.fence(members[host])
        case .expire(let host): group.expire(members[host])
        case .check(let host): monitors[host].checkNow()
        case .renew(let host): monitors[host].renew()
        case .beginGrace: beginGrace()
        case .hunt(let hunts):
            for monitor in monitors { monitor.hunt(hunts) }
            sourceBell.hunt(hunts, now: clock.now)
        case .emit(let event): events.send(event)
        }
    }

    /// How long the first election waits for hosts that do not answer.
    static var electionGrace: Duration { .milliseconds(500) }

    private func beginGrace() {
        let end = clock.now + min(Self.electionGrace, configuration.refreshTimeout)
        let task = Task(name: "posthouse election", executorPreference: clock.executor) { [link = links[0], clock] in
            guard (try? await clock.sleep(until: end)) != nil else { return }
            link.core?.post(.graceEnded)
        }
        state.withLock { state in
            if state.isStopped { task.cancel() } else { state.tasks.append(task) }
        }
    }

    // MARK: - What is withheld

    var withholding: Withholding<Driver.Endpoint> { state.withLock { $0.withholding } }

    /// Changes what hosts may not serve. In force when the version that it returns is applied.
    @discardableResult
    func withhold(_ change: (inout Withholding<Driver.Endpoint>) -> Void) -> Int {
        let (version, works) = state.withLock { state in
            let version = state.withholding.change(change)
            guard !state.isStopped else { return (version, false) }
            defer { state.isWorking = true }
            return (version, !state.isWorking)
        }
        if works { work() }
        return version
    }

    /// Members whose hosts take writes, withheld or not.
    var writingMembers: [MemberID] {
        state.withLock { state in members.indices.filter { state.machine.hosts[$0].serves.contains(.primary) } }
            .map { members[$0] }
    }

    /// Asks for a check of every host.
    func checkNow() {
        for monitor in state.withLock({ $0.monitors }) { monitor.checkNow() }
    }

    /// Whether a check of every host that answers began after this time, and what it found is taken into account once the
    /// inbox is empty.
    func answeringHostsWereChecked(since time: ContinuousClock.Instant) -> Bool {
        state.withLock { state in
            zip(state.machine.hosts, state.checkedAt).allSatisfy { host, began in
                !host.isAnswering || (began.map { $0 >= time } ?? false)
            }
        }
    }

    // MARK: - State

    /// "host:port" of a pool's host.
    func label(of member: MemberID) -> String {
        members.firstIndex(of: member).map { String(describing: endpoints[$0]) } ?? ""
    }

    var readiness: ReadinessCount { state.withLock { ReadinessCount(of: $0.machine.hosts) } }

    func snapshot() -> ClusterSnapshot {
        let pool = group.snapshot()
        return state.withLock { state in
            let machine = state.machine
            let written = machine.primary.flatMap { machine.hosts[$0].report?.position }
            let hosts = machine.hosts.enumerated().map { index, host in
                ClusterSnapshot.Host(
                    host: host.label,
                    state: host.state,
                    role: host.role,
                    reason: host.reason,
                    serves: host.serves,
                    report: host.report,
                    answeredAt: host.reportedAt,
                    lagBytes: Self.lag(of: host, behind: written),
                    responseTime: state.stopwatches[index].last,
                    medianResponseTime: state.stopwatches[index].median,
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
                writesArePaused: state.withholding.pauses > 0,
                source: sourceBell.status
            )
        }
    }

    private static func lag(of host: HostRecord, behind written: UInt64?) -> UInt64? {
        guard host.role == .replica, let written, let replayed = host.report?.position else { return nil }
        return written > replayed ? written - replayed : 0
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
        let tasks = state.withLock { state in
            state.isStopped = true
            defer { state.tasks = [] }
            return state.tasks
        }
        for task in tasks { task.cancel() }
        for link in links { link.detach() }
        changes.close()
        events.finish()
        return tasks
    }
}
