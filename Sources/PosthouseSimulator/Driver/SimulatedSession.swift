// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

/// What a user of a simulated cluster works with while a lease lasts.
public struct SimulatedSession: Sendable {
    let connection: SimulatedConnection
    let permit: LeasePermit
    let world: SimulatedWorld
    let asksPermit: Bool
    /// When the lease came into the user's hands, in nanoseconds since the simulation began.
    let leasedAt: Int64

    /// The index of the server that it leads to.
    public var host: Int { connection.host }

    /// Writes an id, in a transaction of its own.
    ///
    /// - Parameter deadline: When to give the answer up; the session is broken then.
    /// - Throws: ``SimulatedError``; `PermitDenied` if nothing was sent; `CancellationError`.
    public func insert(_ id: UInt64, deadline: ContinuousClock.Instant? = nil) async throws {
        try check()
        let request = Exchange.Request.insert(id, leasedAt: leasedAt)
        _ = try await world.ask(request, at: connection.address, session: connection, deadline: deadline)
        connection.noteAnswer()
    }

    /// Reads something.
    ///
    /// - Parameter deadline: When to give the answer up; the session is broken then.
    /// - Throws: As ``insert(_:deadline:)``.
    public func read(deadline: ContinuousClock.Instant? = nil) async throws {
        try check()
        let request = Exchange.Request.read(leasedAt: leasedAt)
        _ = try await world.ask(request, at: connection.address, session: connection, deadline: deadline)
        connection.noteAnswer()
    }

    private func check() throws {
        if asksPermit { try permit.check() }
        if connection.isBroken { throw SimulatedError(.lost) }
    }
}
