// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// All that the core keeps for one host, at the machine's index of it. A removed host leaves its slot, for the case that it
/// is added again. No other host gets it: connects and checks that are still under way know their host by that index, and what
/// they find out would be taken for the other one's.
struct HostSlot<Driver: ClusterDriver>: Sendable {
    let endpoint: Driver.Endpoint
    let member: MemberID
    let link: HostLink<Driver>
    var monitor: HostMonitor<Driver>
    /// Runs the monitor; of a removed host, until it has ended.
    var task: Task<Void, Never>?
    var stopwatch: Stopwatch
    /// When the last check began that has ended.
    var checkedAt: ContinuousClock.Instant?
    var isRemoved = false
}
