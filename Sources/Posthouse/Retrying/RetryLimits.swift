// SPDX-License-Identifier: Apache-2.0

/// How often, how long and how quickly failed work is run again.
///
/// Between two runs lies a pause of random length: between nothing and ``firstPause`` after the first failure, twice as much
/// after each further one, never more than ``longestPause``. Thousands of clients that lost the same server do not come back
/// at the same moment.
public struct RetryLimits: Hashable, Sendable {
    /// The most runs, the first included; less than 1 counts as 1. Default: 16.
    public var attempts: Int

    /// The most that the whole call may take: waiting for connections, statements, pauses. A statement that runs at its end,
    /// be it the COMMIT, fails with ``DatabaseError/Code/timedOut``. Default: 30 s. nil: no limit but the attempts; each wait
    /// for a connection is then limited by ``ClusterConfiguration/acquireTimeout``.
    public var timeout: Duration?

    /// The most to pause after the first failure. Default: 5 ms.
    public var firstPause: Duration

    /// The most to pause after any failure. Default: 500 ms.
    public var longestPause: Duration

    /// Makes limits; every part has a default.
    public init(
        attempts: Int = 16,
        timeout: Duration? = .seconds(30),
        firstPause: Duration = .milliseconds(5),
        longestPause: Duration = .milliseconds(500)
    ) {
        self.attempts = attempts
        self.timeout = timeout
        self.firstPause = firstPause
        self.longestPause = longestPause
    }

    /// One run, which may take 30 s.
    public static let never = RetryLimits(attempts: 1)
}
