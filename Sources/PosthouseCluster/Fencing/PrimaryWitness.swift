// SPDX-License-Identifier: Apache-2.0

/// Somebody beside the servers themselves who knows which of them is the primary, for example Patroni.
public protocol PrimaryWitness: Sendable {
    /// Who is the primary?
    ///
    /// Called on no lock and never twice at a time. Whoever overruns the deadline is cancelled and counts as silent; as long as
    /// such a call has not returned, there is no other one.
    ///
    /// - Parameter deadline: When the answer has to be there.
    /// - Returns: The host as the cluster or the server itself names it, "host:port"; `nil` if the witness knows of no
    ///   primary now.
    /// - Throws: Anything: it counts as no answer.
    func primary(deadline: ContinuousClock.Instant) async throws -> String?
}
