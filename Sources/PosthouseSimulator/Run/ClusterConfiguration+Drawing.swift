// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

extension ClusterConfiguration {
    /// One of many configurations, most of them such that rare paths are taken often.
    static func drawn(seed: UInt64) -> ClusterConfiguration {
        var draws = SplitMix64(seed: seed ^ 0x5EED)
        var pool = PoolConfiguration(maximumSize: Int.random(in: 1...6, using: &draws))
        pool.connectTimeout = .milliseconds(Int.random(in: 500...3000, using: &draws))
        pool.workTimeout = .milliseconds(Int.random(in: 300...2000, using: &draws))
        switch Int.random(in: 0...3, using: &draws) {
        case 0: pool.validation = .always
        case 1: pool.validation = .ifIdle(longerThan: .milliseconds(50))
        default: break
        }
        if Bool.random(using: &draws) { pool.minimumIdle = 1 }
        if Bool.random(using: &draws) { pool.maximumLifetime = .milliseconds(1500) }
        if Bool.random(using: &draws) { pool.keepAliveInterval = .milliseconds(400) }
        if Bool.random(using: &draws) { pool.idleTimeout = .milliseconds(700) }
        if Bool.random(using: &draws) { pool.burstLimit = pool.maximumSize + 2 }
        return ClusterConfiguration(pool: pool)
    }
}
