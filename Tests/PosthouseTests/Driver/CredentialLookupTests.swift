// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import PosthouseReactor
import Testing

@testable import Posthouse

/// A provider is somebody else's code, and often a call over the network.
@Suite struct CredentialLookupTests {
    private struct Refused: Error {}

    private let loop: EventLoop
    /// What is waited for by a provider that ignores its cancellation.
    private let gate = Task<Void, Never> {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
    }

    init() throws {
        loop = try EventLoopGroup.shared.next()
    }

    private func credentials(
        within limit: Duration = .seconds(60),
        from provider: @escaping DatabaseCredentials.Provider
    ) async throws -> DatabaseCredentials {
        try await CredentialLookup.credentials(from: provider, until: .now + limit, on: loop)
    }

    @Test func whatIsFoundIsPassedOn() async throws {
        let found = try await credentials { DatabaseCredentials(username: "app", password: "secret") }
        #expect(found.username == "app")
        await #expect(throws: Refused.self) { try await credentials { throw Refused() } }
        gate.cancel()
    }

    @Test func oneThatNeverEndsIsWaitedForUntilTheDeadline() async throws {
        await #expect(throws: CredentialLookup.TimedOut.self) {
            try await credentials(within: .milliseconds(20)) {
                await gate.value
                throw Refused()
            }
        }
        gate.cancel()
    }

    @Test func whoeverIsCancelledDoesNotWaitForIt() async throws {
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let task = Task {
            try await credentials {
                begin.finish()
                await gate.value
                throw Refused()
            }
        }
        for await _ in begun {}
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        gate.cancel()
    }
}
