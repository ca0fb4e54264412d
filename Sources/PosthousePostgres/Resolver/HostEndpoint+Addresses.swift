// SPDX-License-Identifier: Apache-2.0

package import PosthouseReactor

extension HostEndpoint {
    /// This endpoint once for each address that its name has now, the name kept for TLS and the password file; as it is if
    /// there is nothing to resolve.
    ///
    /// If name servers fail or are slow, what they said last counts.
    ///
    /// - Throws: ``DatabaseError`` in phase `resolving`.
    package func addresses(
        on loop: EventLoop,
        deadline: ContinuousClock.Instant
    ) async throws(DatabaseError) -> [HostEndpoint] {
        try await addresses(on: loop, deadline: deadline, resolver: .shared)
    }

    func addresses(
        on loop: EventLoop,
        deadline: ContinuousClock.Instant,
        resolver: Resolver
    ) async throws(DatabaseError) -> [HostEndpoint] {
        if isUnixSocket || hostAddress != nil || NumericAddress.isValid(host) { return [self] }
        do throws(ResolverFailure) {
            return try await resolver.addresses(of: host, loop: loop, deadline: deadline).map {
                HostEndpoint(host: host, hostAddress: $0, port: port)
            }
        } catch {
            throw error.databaseError(host: self)
        }
    }
}
