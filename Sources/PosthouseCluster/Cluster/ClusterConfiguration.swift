// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// How a cluster keeps its connections and watches its hosts.
public struct ClusterConfiguration: Sendable {
    /// The cluster's name in logs and task names. Default: "posthouse".
    public var name: String
    /// The pool of each host: its limits hold per host. Default: at most 10 connections, made on demand.
    public var pool: PoolConfiguration
    /// How long ``Cluster/write(timeout:_:)``, ``Cluster/read(fallbackPrimary:timeout:_:)`` and
    /// ``Cluster/acquire(readOnly:fallbackPrimary:timeout:)`` wait for a connection: for the role to appear, for a free
    /// connection, for connecting, all together. Default: 5 s.
    public var acquireTimeout: Duration
    /// The time between two health checks of a host while all is well. Default: 1 s.
    public var refreshDelay: Duration
    /// The most a health check may take, connecting included. Default: 1 s.
    public var refreshTimeout: Duration
    /// Whether reads go to the primary while no replica is there. Default: false.
    public var fallbackPrimary: Bool
    /// How many response times of health checks the median is taken over. Default: 128.
    public var stopwatchWindowSize: Int

    /// Makes a configuration with the defaults.
    public init(
        name: String = "posthouse",
        pool: PoolConfiguration = PoolConfiguration(),
        acquireTimeout: Duration = .seconds(5),
        refreshDelay: Duration = .seconds(1),
        refreshTimeout: Duration = .seconds(1),
        fallbackPrimary: Bool = false,
        stopwatchWindowSize: Int = 128
    ) {
        self.name = name
        self.pool = pool
        self.acquireTimeout = acquireTimeout
        self.refreshDelay = refreshDelay
        self.refreshTimeout = refreshTimeout
        self.fallbackPrimary = fallbackPrimary
        self.stopwatchWindowSize = stopwatchWindowSize
    }

    /// What is wrong with this configuration, or `nil`.
    var complaint: String? {
        if acquireTimeout < .zero { return "acquireTimeout must not be negative" }
        if refreshDelay < CheckSchedule.leastGap { return "refreshDelay must be at least \(CheckSchedule.leastGap)" }
        if refreshTimeout <= .zero { return "refreshTimeout must be positive" }
        if stopwatchWindowSize < 1 { return "stopwatchWindowSize must be at least 1" }
        return nil
    }
}
