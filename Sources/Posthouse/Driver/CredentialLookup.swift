// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePostgres
import PosthouseReactor

/// One lookup of user and password. It may be over the network and ignore its cancellation: nobody waits for it longer than
/// their connection may take to open.
final class CredentialLookup: Sendable {
    struct TimedOut: Error, CustomStringConvertible {
        var description: String { "they were not there in time" }
    }

    private let outcome = Guarded<Result<DatabaseCredentials, any Error>?>(nil)

    static func credentials(
        from provider: @escaping DatabaseCredentials.Provider,
        until deadline: ContinuousClock.Instant,
        on loop: EventLoop
    ) async throws -> DatabaseCredentials {
        try await CredentialLookup().run(provider, deadline, loop)
    }

    private func run(
        _ provider: @escaping DatabaseCredentials.Provider,
        _ deadline: ContinuousClock.Instant,
        _ loop: EventLoop
    ) async throws -> DatabaseCredentials {
        // On the loop: the default executor's threads may be the ones that the lookup holds up.
        let patience = Task(executorPreference: loop) { _ = try? await loop.sleep(until: deadline) }
        let lookup = Task { [self] in
            let found: Result<DatabaseCredentials, any Error>
            do { found = .success(try await provider()) } catch { found = .failure(error) }
            outcome.withLock { $0 = found }
            patience.cancel()
        }
        await withTaskCancellationHandler {
            await patience.value
        } onCancel: {
            patience.cancel()
        }
        lookup.cancel()
        try Task.checkCancellation()
        guard let found = outcome.withLock({ $0 }) else { throw TimedOut() }
        return try found.get()
    }
}
