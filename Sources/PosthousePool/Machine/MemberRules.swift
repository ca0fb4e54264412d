// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// A member's configuration, as far as the machine needs it: a trivial value, without names.
struct MemberRules {
    var minimumSize: Int
    var minimumIdle: Int
    var connectTimeout: Duration
    var backoffBase: Duration
    var backoffCap: Duration
    var maximumConcurrentConnects: Int
    var maximumConnectRate: Int?
    var idleTimeout: Duration?
    var maximumLifetime: Duration?
    var lifetimeJitter: Double
    var maximumUses: UInt64
    var keepAliveInterval: Duration?
    /// Connections that have been idle for so long are validated before they are handed out.
    var doubtAfter: Duration?
    /// How long a keep-alive, a recycling or a validation may take.
    var workTimeout: Duration
    var leakThreshold: Duration?

    init(_ configuration: PoolConfiguration) {
        minimumSize = configuration.minimumSize
        minimumIdle = configuration.minimumIdle
        connectTimeout = configuration.connectTimeout
        backoffBase = configuration.backoffBase
        backoffCap = configuration.backoffCap
        maximumConcurrentConnects = configuration.maximumConcurrentConnects
        maximumConnectRate = configuration.maximumConnectRate
        idleTimeout = configuration.idleTimeout
        maximumLifetime = configuration.maximumLifetime
        lifetimeJitter = configuration.lifetimeJitter
        maximumUses = configuration.maximumUses.map { UInt64($0) } ?? .max
        keepAliveInterval = configuration.keepAliveInterval
        doubtAfter = configuration.validation.idleThreshold
        workTimeout = configuration.workTimeout
        leakThreshold = configuration.leakDetectionThreshold
    }

    /// How often the housekeeper comes: a quarter of the shortest time that it watches over.
    var roundInterval: Duration? {
        let shortest = [idleTimeout, keepAliveInterval, doubtAfter, leakThreshold].compactMap { $0 }.min()
        return shortest.map { max($0 / 4, .milliseconds(1)) }
    }

    /// How long a connection lives that is opened now.
    func lifetime(_ random: inout SplitMix64) -> Duration? {
        maximumLifetime.map { $0 - $0 * (lifetimeJitter * Double.random(in: 0...1, using: &random)) }
    }
}
