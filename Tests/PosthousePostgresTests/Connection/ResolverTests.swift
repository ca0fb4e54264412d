// SPDX-License-Identifier: Apache-2.0

import Glibc
import PosthouseReactor
import Synchronization
import Testing

@testable import PosthousePostgres

/// A name server under the test's control: each lookup waits until the test answers it.
private final class ScriptedNames: Sendable {
    private struct State {
        var pending: [(host: String, answer: Result<[String], ResolverFailure>?)] = []
        var asked: [String] = []
    }

    private let state = Mutex(State())
    private let answers = Mutex<[String: Result<[String], ResolverFailure>]>([:])

    var asked: [String] { state.withLock { $0.asked } }

    func set(_ host: String, _ answer: Result<[String], ResolverFailure>?) {
        answers.withLock { $0[host] = answer }
    }

    /// Blocks while there is no answer, like a hanging resolver.
    @Sendable func lookUp(_ host: String) -> Result<[String], ResolverFailure> {
        state.withLock { $0.asked.append(host) }
        while true {
            if let answer = answers.withLock({ $0[host] }) { return answer }
            usleep(1000)
        }
    }
}

@Suite(.timeLimit(.minutes(20))) struct ResolverTests {
    private func resolve(
        _ host: String,
        _ resolver: Resolver,
        _ loop: EventLoop,
        within limit: Duration = .seconds(60)
    ) async -> Result<[String], ResolverFailure> {
        do throws(ResolverFailure) {
            return .success(try await resolver.addresses(of: host, loop: loop, deadline: .now + limit))
        } catch {
            return .failure(error)
        }
    }

    private func untilIdle(_ resolver: Resolver) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while resolver.load.threads > 0, ContinuousClock.now < deadline { await Task.yield() }
        #expect(resolver.load.threads == 0)
    }

    @Test func theSystemResolvesLocalhost() async throws {
        try await withLoop { loop in
            let addresses = try await Resolver().addresses(of: "localhost", loop: loop, deadline: .now + .seconds(60))
            #expect(addresses.contains("127.0.0.1") || addresses.contains("::1"))
        }
    }

    @Test func aNameThatDoesNotExistIsATypedError() async throws {
        try await withLoop { loop in
            let answer = await resolve("does-not-exist.invalid", Resolver(), loop)
            guard case .failure(.notFound) = answer else {
                Issue.record("\(answer)")
                return
            }
        }
    }

    @Test func aHangingNameHoldsOneThreadAndBlocksNobodyElse() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            names.set("good", .success(["10.0.0.1"]))
            let resolver = Resolver(lookUp: names.lookUp)
            await withTaskGroup { group in
                for _ in 0..<20 {
                    group.addTask { _ = await resolve("hangs", resolver, loop, within: .milliseconds(300)) }
                }
                for _ in 0..<20 {
                    group.addTask { #expect(await resolve("good", resolver, loop) == .success(["10.0.0.1"])) }
                }
            }
            #expect(resolver.load == (threads: 1, waiters: 0))
            #expect(names.asked.count { $0 == "hangs" } == 1)
            names.set("hangs", .success(["10.0.0.2"]))
            try await untilIdle(resolver)
        }
    }

    @Test func theDeadlineIsKeptWhileTheNameServerHangs() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            let resolver = Resolver(lookUp: names.lookUp)
            #expect(await resolve("hangs", resolver, loop, within: .milliseconds(20)) == .failure(.timedOut))
            #expect(await resolve("hangs", resolver, loop, within: .seconds(-1)) == .failure(.timedOut))
            #expect(resolver.load.waiters == 0)
            names.set("hangs", .success(["10.0.0.2"]))
            try await untilIdle(resolver)
        }
    }

    @Test func aCancelledTaskStopsWaitingAtOnce() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            let resolver = Resolver(lookUp: names.lookUp)
            for delay in [0, 1] {
                let task = Task { await resolve("hangs", resolver, loop) }
                if delay == 1 {
                    while resolver.load.waiters == 0 { await Task.yield() }
                }
                task.cancel()
                #expect(await task.value == .failure(.cancelled))
            }
            #expect(resolver.load.waiters == 0)
            names.set("hangs", .success(["10.0.0.2"]))
            try await untilIdle(resolver)
        }
    }

    @Test func theLastGoodAddressesServeWhenTheNameServerFailsOrHangs() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            names.set("db", .success(["10.0.0.1", "10.0.0.2"]))
            let resolver = Resolver(lookUp: names.lookUp)
            #expect(await resolve("db", resolver, loop) == .success(["10.0.0.1", "10.0.0.2"]))
            names.set("db", .failure(.notFound("server failure")))
            #expect(await resolve("db", resolver, loop) == .success(["10.0.0.1", "10.0.0.2"]))
            names.set("db", nil)
            #expect(
                await resolve("db", resolver, loop, within: .milliseconds(100)) == .success(["10.0.0.1", "10.0.0.2"])
            )
            names.set("db", .success(["10.0.0.3"]))
            try await untilIdle(resolver)
            #expect(await resolve("db", resolver, loop) == .success(["10.0.0.3"]))
        }
    }

    @Test func moreHangingNamesThanThreadsStillTimeOut() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            let resolver = Resolver(maximumThreads: 2, lookUp: names.lookUp)
            await withTaskGroup { group in
                for number in 0..<6 {
                    group.addTask {
                        #expect(
                            await resolve("h\(number)", resolver, loop, within: .milliseconds(50))
                                == .failure(.timedOut)
                        )
                    }
                }
            }
            #expect(resolver.load == (threads: 2, waiters: 0))
            for number in 0..<6 { names.set("h\(number)", .success(["10.0.0.1"])) }
            try await untilIdle(resolver)
            #expect(names.asked.count == 2, "names that nobody waits for any more are not looked up")
        }
    }

    @Test func anEndpointBecomesAllItsAddressesAndKeepsItsNameAndTheLastOnesWhenNobodyAnswers() async throws {
        try await withLoop { loop in
            let names = ScriptedNames()
            let resolver = Resolver(lookUp: names.lookUp)
            let endpoint = HostEndpoint(host: "db", port: 7)
            func addresses(_ endpoint: HostEndpoint) async throws -> [HostEndpoint] {
                try await endpoint.addresses(on: loop, deadline: .now + .seconds(60), resolver: resolver)
            }
            names.set("db", .failure(.notFound("no such name")))
            let error = await #expect(throws: DatabaseError.self) { _ = try await addresses(endpoint) }
            #expect(error?.code == .addressNotFound)
            names.set("db", .success(["10.0.0.1", "::1"]))
            let both = ["10.0.0.1", "::1"].map { HostEndpoint(host: "db", hostAddress: $0, port: 7) }
            let found = try await addresses(endpoint)
            #expect(found == both)
            names.set("db", .failure(.notFound("the name server is gone")))
            let remembered = try await addresses(endpoint)
            #expect(remembered == both)
            let asked = names.asked.count
            for one in [both[0], HostEndpoint(host: "10.0.0.9"), HostEndpoint(host: "::1"), HostEndpoint(host: "/tmp")]
            {
                let itself = try await addresses(one)
                #expect(itself == [one])
            }
            #expect(names.asked.count == asked)
        }
    }
}
