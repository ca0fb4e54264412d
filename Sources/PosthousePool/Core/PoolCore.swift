// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// What runs the machine: it holds the lock, the connections, the tasks that wait and the tasks that connect.
///
/// One rule keeps it sound. A step runs the machine under the lock and, before it lets go, turns the machine's actions into
/// effects: values that carry the very connections, promises and tasks they are about. Effects run outside the lock and look
/// nothing up, so effects of different steps may run in any order, on any threads. Two need more:
/// - a connection is not closed while an interrupt of it runs: the close waits (`Place.closeAfterInterrupts`);
/// - a task may be cancelled before it is there (`Work`).
///
/// Between the steps the idle connections of members about which nothing is to be decided lie open (`OpenIdle`): they are
/// leased and given back with a swap each, and the machine hears of it at the next step.
@usableFromInline
final class PoolCore: Sendable {
    struct State {
        var machine: Machine
        let open: OpenRoster
        let laysIdleOpen: Bool
        var members: [MemberShell] = []
        /// The requests in the machine's queue, at the same indexes.
        var waiters: [Promise<Outcome>?] = []
        var closers: [Promise<Int>] = []
        /// The task that sleeps until the machine wants to be woken, if any.
        var alarm: Task<Void, Never>?
        /// When requests that begin to wait may have it noted again who holds what.
        var nextCensus = Moment.zero
        /// Which alarm counts; one that was replaced too late does nothing.
        var alarmNumber = 0
    }

    let configuration: PoolGroupConfiguration
    let time: any TimeSource
    let observer: (any PoolObserver)?
    let measuresUses: Bool
    /// Its number in the budget, if there is one.
    let party: Int?
    let state: Guarded<State>
    let open: OpenRoster

    init(configuration: PoolGroupConfiguration, time: any TimeSource, observer: (any PoolObserver)?) {
        self.configuration = configuration
        self.time = time
        self.observer = observer
        self.party = configuration.budget?.enter()
        self.measuresUses = observer?.wantsUses ?? false
        self.open = OpenRoster(stripes: configuration.stripes)
        let machine = Machine(
            policy: configuration.connectFailurePolicy,
            maximumWaiters: configuration.maximumWaiters,
            breakAfter: configuration.failFastAfter,
            overload: configuration.overload,
            hasBudget: configuration.budget != nil,
            seed: configuration.seed ?? .random(in: 0 ... .max)
        )
        self.state = Guarded(State(machine: machine, open: open, laysIdleOpen: configuration.laysIdleOpen))
    }

    deinit {
        state.withLock { $0.alarm }?.cancel()
        if let party { configuration.budget?.leave(party) }
    }

    var now: Moment { Moment(time.now) }

    /// One event: runs the machine under the lock, then, outside it, what follows from that.
    func step<Result: Sendable>(_ event: (inout State, inout [Action]) -> Result) -> Result {
        let (result, effects) = withMachine { state in
            var actions: [Action] = []
            let result = event(&state, &actions)
            state.machine.balanceBudget(&actions)
            return (result, state.effects(of: actions))
        }
        if !effects.isEmpty { run(effects) }
        return result
    }

    /// Takes the lock and has the machine know everything; afterwards lays open what may lie open.
    func withMachine<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        state.withLock { state in
            state.withdrawIdle()
            let result = body(&state)
            state.layIdleOpen()
            return result
        }
    }
}

/// What the shell keeps for one member.
struct MemberShell {
    let identity: PoolMember
    let fence: MemberFence
    var opener: any SlotOpener
    /// For connections that are opened from now on.
    var terms: SlotTerms
    var lastError: (any Error)?
    var lastErrorAt: Moment?
    /// Whether its idle connections lie open.
    var liesOpen = false
    /// How many leases had ended when they were laid open.
    var endedAtOpening: UInt64 = 0
    /// How many leases of connections ended that are closed by now.
    var endedLeases: UInt64 = 0
    /// How often the other side had answered on connections that are closed by now.
    var answers: UInt64 = 0
    /// At the indexes of the machine's slots.
    var places: [Place] = []

    /// What one slot of the machine stands for.
    struct Place {
        /// There from the moment that the machine hears of the connection until it is closed.
        var occupant: Occupant?
        /// What opens or tends it, as long as somebody may want to cancel that.
        var work: Work?
        /// Its lease was reported as leaked.
        var leak: Leak?
        /// How many interrupts of it are running.
        var interrupts = 0
        var closeAfterInterrupts: (reason: CloseReason, dropping: Bool)?
    }

    struct Leak {
        let report: LeaseReport
        let reportedAt: Moment
    }

    subscript(id: SlotID) -> Place {
        get { places.indices.contains(id.index) ? places[id.index] : Place() }
        set {
            while places.count <= id.index { places.append(Place()) }
            places[id.index] = newValue
        }
    }
}
