// SPDX-License-Identifier: Apache-2.0

import PosthousePool

extension Cluster {
    /// Holds all writes back while `body` runs, for a planned switchover that no writer notices but by the wait.
    ///
    /// ```swift
    /// try await cluster.pauseWrites {
    ///     try await patroni.switchover(to: "db2")
    /// }
    /// ```
    /// From the call on whoever wants the primary waits: ``write(timeout:fileID:line:_:)``, and reads that have only the primary
    /// left. Nothing fails for that reason; deadlines go on counting. Leases on the primary that are out already may finish.
    /// Then `body` runs, and when it has ended (returned, thrown, or been cancelled), every host is asked anew who it is, and
    /// writes go on at whoever is the primary then. Reads go on at replicas all the time.
    ///
    /// Pauses may overlap: each body runs once the leases are back, and writes go on when the last pause is over; a pause within
    /// a pause is one of these. A write inside `body` waits for the end of the pause, and so for itself, until its deadline; a
    /// pause inside a write waits for that write. If the cluster is closed meanwhile, `body` runs to its end all the same.
    ///
    /// - Parameters:
    ///   - timeout: The most to wait for leases on the primary to come back. Default: 30 s.
    ///   - body: The switchover. Takes as long as it needs.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` with code `writesStillRunning`, `cancelled` or `closed` if the leases did not come back; then
    ///   `body` did not run, and writes go on. Whatever `body` throws.
    @discardableResult
    public func pauseWrites<Result>(
        timeout: Duration = .seconds(30),
        _ body: () async throws -> Result
    ) async throws -> Result {
        try await core.holdWrites(timeout: timeout)
        let result: Swift.Result<Result, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        await core.releaseWrites()
        return try result.get()
    }
}

extension ClusterCore {
    /// How often leases on the primary are looked at: they end without a word to anybody who waits for that.
    private static var look: Duration { .milliseconds(5) }

    var writesArePaused: Bool { withholding.pauses > 0 }

    /// Returns when nothing new gets the primary, and nothing runs there.
    func holdWrites(timeout: Duration) async throws(ClusterError) {
        // Whoever serves writes now, by the pools' account or by the topology's, which may be a step ahead.
        var writers = Set(group.snapshot().members.filter { $0.serves.contains(.primary) }.map(\.member))
        let version = withhold { $0.pauses += 1 }
        writers.formUnion(writingMembers)
        do throws(ClusterError) {
            try await waitForWrites(on: writers, version: version, timeout: timeout)
        } catch {
            withhold { $0.pauses -= 1 }
            throw error
        }
    }

    private func waitForWrites(on writers: Set<MemberID>, version: Int, timeout: Duration) async throws(ClusterError) {
        let deadline = clock.now + timeout
        while true {
            let pools = group.snapshot()
            if isStopped || pools.isClosed { throw ClusterError(.closed, message: "the cluster is closed") }
            if Task.isCancelled {
                let message = "the task was cancelled while it waited for writes to end"
                throw ClusterError(.cancelled, message: message)
            }
            let running = pools.members.filter { writers.contains($0.member) }.map(\.leased).reduce(0, +)
            if running == 0, withholding.appliedVersion >= version { return }
            let now = clock.now
            if now >= deadline {
                let message = "\(running) connections to the primary were still in use after \(timeout); writes go on"
                throw ClusterError(.writesStillRunning, message: message)
            }
            try? await clock.sleep(until: min(now + Self.look, deadline))
        }
    }

    /// Lets writes go on once what is known of the hosts is newer than this call.
    ///
    /// After a switchover the former primary may still be there, and would be taken for the primary until its next check. A
    /// cancelled caller has as much reason to wait for that as any other.
    func releaseWrites() async {
        await Task(executorPreference: clock.workExecutor) { await self.checkEveryHost() }.value
        withhold { $0.pauses -= 1 }
    }

    private func checkEveryHost() async {
        let asked = clock.now
        let end = asked + configuration.refreshTimeout
        checkNow()
        while !isStopped, clock.now < end, !answeringHostsWereChecked(since: asked) {
            try? await clock.sleep(until: clock.now + Self.look)
        }
    }
}
