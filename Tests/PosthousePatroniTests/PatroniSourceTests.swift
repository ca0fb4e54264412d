// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePostgres
import Synchronization
import Testing

@testable import PosthousePatroni

/// Answers by the host of the URL; who has no answer never gives one.
private final class ScriptedTransport: PatroniTransport {
    private let answers: Mutex<[String: PatroniResponse]>
    private let requests = Mutex<[PatroniRequest]>([])

    init(_ answers: [String: PatroniResponse]) {
        self.answers = Mutex(answers)
    }

    var asked: [String] { requests.withLock { $0.map(\.url) } }
    var headers: [(name: String, value: String)] { requests.withLock { $0.last?.headers ?? [] } }

    func set(_ url: String, _ answer: PatroniResponse?) { answers.withLock { $0[url] = answer } }

    func send(_ request: PatroniRequest) async throws -> PatroniResponse {
        requests.withLock { $0.append(request) }
        if let answer = answers.withLock({ $0[request.url] }) { return answer }
        try await Task.sleep(for: .seconds(600))
        throw CancellationError()
    }
}

@Suite(.timeLimit(.minutes(20))) struct PatroniSourceTests {
    private let good = PatroniResponse(status: 200, body: Array(Samples.three.utf8))

    private func url(_ name: String) -> String { "http://\(name):8008/cluster" }

    private var soon: ContinuousClock.Instant { .now + .seconds(60) }

    @Test func membersAreHostsAndNoLoadBalanceMeansNoReads() async throws {
        let transport = ScriptedTransport([url("a"): good])
        let source = try PatroniSource(["http://a:8008"], transport: transport)
        let hosts = try await source.hosts(deadline: soon)
        #expect(hosts.map(\.endpoint.description) == ["10.0.0.1:5433", "10.0.0.2:5432", "db3.example:5432"])
        #expect(hosts.map(\.takesReads) == [true, true, false])
        #expect(try await source.primary(deadline: soon) == "10.0.0.2:5432")
    }

    @Test func patronisAreTriedInTurnAndTheOneThatAnsweredIsAskedFirstNextTime() async throws {
        let transport = ScriptedTransport([
            url("b"): PatroniResponse(status: 503, body: []),
            url("c"): PatroniResponse(status: 200, body: Array("garbage".utf8)),
            url("d"): PatroniResponse(status: 200, body: Array(#"{"members": []}"#.utf8)),
            url("e"): good,
        ])
        let names = ["b", "c", "d", "e"]
        let source = try PatroniSource(names.map { "http://\($0):8008/" }, transport: transport)
        _ = try await source.hosts(deadline: soon)
        _ = try await source.hosts(deadline: soon)
        #expect(transport.asked == (names + ["e"]).map(url))
        transport.set(url("e"), PatroniResponse(status: 500, body: []))
        transport.set(url("b"), good)
        _ = try await source.hosts(deadline: soon)
        #expect(transport.asked.suffix(2) == [url("e"), url("b")])
    }

    @Test func aPatroniThatHangsLeavesTimeForTheOthers() async throws {
        let transport = ScriptedTransport([url("b"): good])
        let source = try PatroniSource(["http://a:8008", "http://b:8008"], transport: transport)
        #expect(try await source.hosts(deadline: .now + .seconds(10)).count == 3)
        #expect(transport.asked == [url("a"), url("b")])
    }

    @Test func whenNoneAnswersTheErrorSaysWhyOfEach() async throws {
        let transport = ScriptedTransport([url("a"): PatroniResponse(status: 401, body: [])])
        let source = try PatroniSource(["http://u:secret@a:8008", "http://b:8008"], transport: transport)
        let error = await #expect(throws: PatroniError.self) {
            try await source.hosts(deadline: .now + .seconds(4))
        }
        #expect(error?.code == .timedOut)
        #expect(error?.description.contains("a:8008: The answer has the status 401.") == true)
        #expect(error?.description.contains("b:8008") == true)
        #expect(error?.description.contains("secret") == false)
    }

    @Test func aCancelledQuestionEndsAtOnce() async throws {
        let transport = ScriptedTransport([:])
        let source = try PatroniSource(["http://a:8008"], transport: transport)
        let question = Task { try await source.hosts(deadline: .now + .seconds(600)) }
        while transport.asked.isEmpty { await Task.yield() }
        question.cancel()
        await #expect(throws: CancellationError.self) { try await question.value }
    }

    @Test func userAndPasswordAreSentAndNotShown() async throws {
        let transport = ScriptedTransport(["https://gate/patroni/cluster": good])
        let source = try PatroniSource(["https://me:p%40ss@gate/patroni/"], transport: transport)
        _ = try await source.hosts(deadline: soon)
        #expect(transport.headers.map(\.name) == ["Authorization"])
        #expect(transport.headers.map(\.value) == ["Basic bWU6cEBzcw=="])
    }

    @Test(arguments: ["", "db1:8008", "ftp://a", "http://", "https:///x", "http://a?x=1", "http://a#x", "http://a b"])
    func whatIsNoURLOfPatroniIsATypedError(_ url: String) {
        let error = #expect(throws: PatroniError.self) { try PatroniSource([url]) }
        #expect(error?.code == .invalidURL)
    }

    @Test func atLeastOneURLIsNeeded() {
        #expect(throws: PatroniError.self) { try PatroniSource([]) }
    }

    @Test func aLeaderThatDoesNotRunIsNoPrimary() async throws {
        let body = #"{"members": [{"name": "a", "role": "leader", "state": "stopping", "host": "a", "port": 1}]}"#
        let transport = ScriptedTransport([url("a"): PatroniResponse(status: 200, body: Array(body.utf8))])
        let source = try PatroniSource(["http://a:8008"], transport: transport)
        #expect(try await source.primary(deadline: soon) == nil)
    }
}
