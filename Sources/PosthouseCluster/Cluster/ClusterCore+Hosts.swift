// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Hosts that come and go, and what the operator decides.
extension ClusterCore {
    func makeSlot(for endpoint: Driver.Endpoint, host: Int) throws(PoolError) -> HostSlot<Driver> {
        let link = HostLink(host: host, link: link)
        let gauge = HostGauge()
        let strategy = HostStrategy(
            endpoint: endpoint,
            driver: driver,
            clock: clock,
            connectTimeout: poolConfiguration.connectTimeout,
            workTimeout: poolConfiguration.workTimeout,
            link: link,
            gauge: router.measuresUse ? gauge : nil
        )
        let member = try group.addMember(
            label: String(describing: endpoint),
            configuration: poolConfiguration,
            strategy: strategy
        )
        router.add(String(describing: endpoint), member, gauge: gauge)
        return HostSlot(
            endpoint: endpoint,
            member: member,
            link: link,
            monitor: makeMonitor(of: endpoint, member: member, link: link),
            stopwatch: Stopwatch(window: configuration.stopwatchWindowSize)
        )
    }

    private func makeMonitor(
        of endpoint: Driver.Endpoint,
        member: MemberID,
        link: HostLink<Driver>
    ) -> HostMonitor<Driver> {
        HostMonitor(
            endpoint: endpoint,
            driver: driver,
            clock: clock,
            refreshDelay: configuration.refreshDelay,
            timeout: configuration.refreshTimeout,
            observer: MonitorObserver(link: link),
            answers: { [group] in group.answers(of: member) &+ link.signs.count },
            random: random
        )
    }

    func startMonitor(of host: Int) {
        state.withLock { state in
            guard !state.isStopped else { return }
            let slot = state.slots[host]
            // In here, so that it cannot miss that the hunt begins or ends.
            if !state.machine.isHunting { slot.monitor.hunt(false) }
            let name = "posthouse monitor \(slot.endpoint)"
            state.slots[host].task = Task(name: name, executorPreference: clock.executor) {
                await slot.task?.value
                await slot.monitor.run { check in slot.link.core?.take(check, of: host) }
            }
        }
    }

    // MARK: - Membership

    func add(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try membership.withLock { _ throws(ClusterError) in
            let host = try state.withLock { state throws(ClusterError) -> Int in
                if state.isStopped { throw Self.closed }
                guard let host = state.slots.firstIndex(where: { $0.endpoint == endpoint }) else {
                    return state.slots.count
                }
                guard state.slots[host].isRemoved else {
                    throw ClusterError(.duplicateHost, message: "\(endpoint) belongs to the cluster already")
                }
                return host
            }
            let slot = try slot(for: endpoint, host: host)
            state.withLock { state in
                if host == state.slots.count { state.slots.append(slot) } else { state.slots[host] = slot }
                if !state.isStopped { state.inbox.append(.added(host: host, label: String(describing: endpoint))) }
            }
            startMonitor(of: host)
        }
        work()
    }

    /// The one that the host left when it was removed, or a new one.
    private func slot(for endpoint: Driver.Endpoint, host: Int) throws(ClusterError) -> HostSlot<Driver> {
        if var slot = state.withLock({ $0.slots.indices.contains(host) ? $0.slots[host] : nil }) {
            slot.isRemoved = false
            slot.monitor = makeMonitor(of: endpoint, member: slot.member, link: slot.link)
            return slot
        }
        do throws(PoolError) {
            return try makeSlot(for: endpoint, host: host)
        } catch {
            throw ClusterError(.invalidArgument, message: error.message, pool: error)
        }
    }

    func remove(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try membership.withLock { _ throws(ClusterError) in
            let task = try state.withLock { state throws(ClusterError) -> Task<Void, Never>? in
                let host = try Self.index(of: endpoint, in: state)
                if state.slots.count(where: { !$0.isRemoved }) == 1 {
                    let message = "\(endpoint) is the only host: a cluster needs one"
                    throw ClusterError(.lastHost, message: message)
                }
                state.slots[host].isRemoved = true
                state.inbox.append(.removed(host: host))
                return state.slots[host].task
            }
            task?.cancel()
        }
        work()
    }

    func drain(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try post(of: endpoint) { .drained(host: $0) }
    }

    func undrain(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try post(of: endpoint) { .undrained(host: $0) }
    }

    // MARK: - Decisions

    func adopt(systemIdentifier: UInt64) throws(ClusterError) {
        if isStopped { throw Self.closed }
        post(.adopted(systemIdentifier: systemIdentifier))
    }

    func adoptPrimary(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try post(of: endpoint) { .preferred(host: $0) }
    }

    private func post(
        of endpoint: Driver.Endpoint,
        _ event: (Int) -> TopologyMachine.Event
    ) throws(ClusterError) {
        try state.withLock { state throws(ClusterError) in
            state.inbox.append(event(try Self.index(of: endpoint, in: state)))
        }
        work()
    }

    private static func index(of endpoint: Driver.Endpoint, in state: State) throws(ClusterError) -> Int {
        if state.isStopped { throw closed }
        guard let host = state.slots.firstIndex(where: { $0.endpoint == endpoint && !$0.isRemoved }) else {
            throw ClusterError(.unknownHost, message: "\(endpoint) does not belong to the cluster")
        }
        return host
    }

    private static var closed: ClusterError { ClusterError(.closed, message: "the cluster is closed") }
}
