// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

/// One server, as far as its clients can tell it from a real one.
struct SimulatedHost {
    enum Condition: Equatable {
        case running
        case starting
        case frozen
        /// No process; the machine refuses connections.
        case stopped
        /// No machine.
        case gone
    }

    var condition = Condition.running
    var isInRecovery: Bool
    var timeline: UInt32 = 1
    var position: UInt64 = 0
    var incarnation: Int64
    /// What it was on before it was promoted, and until when it tells that.
    var formerTimeline: UInt32 = 1
    var tellsFormerUntil = Int64.min
    /// Nanoseconds for which it will do so.
    var dawdling: Int64 = 0
    /// Whom it follows, as a replica.
    var upstream: Int?
    /// It belongs to another cluster.
    var isForeign = false
    /// It was made from a backup of the primary, and takes itself for that.
    var isCopy = false
    var isBusy = false
    /// Nanoseconds that each answer takes longer.
    var slowness: Int64 = 0
    /// Nanoseconds that each record arrives later.
    var lag: Int64 = 0
    /// Whether records are on their way to it, and up to where.
    var shipment: UInt64?
    /// Commits that wait for a synchronous replica: up to where, and which exchange.
    var committing: [(position: UInt64, exchange: Int)] = []
    /// Counts the orders to start, so that only the last one counts.
    var startNumber: UInt32 = 0

    var runs: Bool { condition == .running }

    /// The timeline that it tells.
    func toldTimeline(at now: Int64) -> UInt32 { now < tellsFormerUntil ? formerTimeline : timeline }
}
