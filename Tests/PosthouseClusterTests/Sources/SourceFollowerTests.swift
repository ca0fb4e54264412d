// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// A source under the test's control.
private final class ScriptedSource: TopologySource {
    typealias Endpoint = String

    struct Broken: Error, CustomStringConvertible {
        var description: String { "the store is gone" }
    }

    private struct State {
        var answer: Result<[SourcedHost<String>], Broken> = .failure(Broken())
        var questions = 0
        var running = 0
        var mostAtOnce = 0
        var hangs = false
        var hanging: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Guarded(State())

    var questions: Int { state.withLock { $0.questions } }
    var running: Int { state.withLock { $0.running } }
    var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }

    func names(_ hosts: String...) { state.withLock { $0.answer = .success(hosts.map { SourcedHost($0) }) } }
    func fails() { state.withLock { $0.answer = .failure(Broken()) } }

    func hangs(_ hangs: Bool) {
        let freed = state.withLock { state in
            state.hangs = hangs
            guard !hangs else { return [CheckedContinuation<Void, Never>]() }
            defer { state.hanging = [] }
            return state.hanging
        }
        for continuation in freed { continuation.resume() }
    }

    func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<String>] {
        state.withLock { state in
            state.questions += 1
            state.running += 1
            state.mostAtOnce = max(state.mostAtOnce, state.running)
        }
        defer { state.withLock { $0.running -= 1 } }
        // Deaf to its deadline and to its cancellation.
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.hangs { state.hanging.append(continuation) }
                return !state.hangs
            }
            if isFree { continuation.resume() }
        }
        return try state.withLock { $0.answer }.get()
    }
}

private final class RecordedHosts: SourcedHosts {
    private let state = Guarded((there: [String](), drained: Set<String>(), busy: Set<String>()))

    var there: [String] { state.withLock { $0.there } }
    var drained: Set<String> { state.withLock { $0.drained } }

    func busy(_ hosts: Set<String>) { state.withLock { $0.busy = hosts } }

    func sight(of endpoint: String) -> HostRoster<String>.Sight { .init(isPrimary: endpoint == "a", isInUse: true) }
    func isIdle(_ endpoint: String) -> Bool { state.withLock { !$0.busy.contains(endpoint) } }
    func add(_ endpoint: String) { state.withLock { $0.there.append(endpoint) } }
    func allowReads(_ allows: Bool, on endpoint: String) {}
    func drain(_ endpoint: String) { _ = state.withLock { $0.drained.insert(endpoint) } }
    func undrain(_ endpoint: String) { _ = state.withLock { $0.drained.remove(endpoint) } }
    func remove(_ endpoint: String) { state.withLock { $0.there.removeAll { $0 == endpoint } } }
}

/// The follower under a clock that the test moves.
@Suite(.timeLimit(.minutes(20))) struct SourceFollowerTests {
    private let source = ScriptedSource()
    private let hosts = RecordedHosts()
    private let clock = ManualClock()
    private let bell: SourceBell
    private let task: Task<Void, Never>

    init() {
        let bell = SourceBell(huntingSince: clock.now)
        bell.hunt(false, now: clock.now)
        let rules = SourceRules(
            deadline: .seconds(5),
            absences: 2,
            removalDelay: .seconds(10),
            drainTimeout: .seconds(30)
        )
        let follower = SourceFollower(
            source,
            hosts: hosts,
            rules: rules,
            clock: clock,
            bell: bell,
            random: { 0.5 }
        )
        self.bell = bell
        source.names("a", "b")
        task = Task { await follower.run() }
    }

    /// Moves the clock until a question more was asked and answered.
    private func nextQuestion() async {
        let asked = source.questions
        #expect(
            await eventually {
                if source.questions > asked { return true }
                clock.advance(by: .milliseconds(500))
                return false
            }
        )
        #expect(await eventually { source.running == 0 })
    }

    private func finish() async {
        task.cancel()
        await task.value
    }

    @Test func hostsComeAtOnceAndGoSlowly() async {
        #expect(await eventually { hosts.there == ["a", "b"] })
        source.names("a", "c")
        hosts.busy(["b"])
        await nextQuestion()
        #expect(await eventually { hosts.there == ["a", "b", "c"] })
        #expect(hosts.drained.isEmpty)
        #expect(
            await eventually {
                clock.advance(by: .milliseconds(500))
                return hosts.drained == ["b"]
            }
        )
        #expect(hosts.there.contains("b"), "work runs there")
        hosts.busy([])
        #expect(
            await eventually {
                clock.advance(by: .milliseconds(10))
                return hosts.there == ["a", "c"]
            }
        )
        await finish()
    }

    @Test func failuresAndEmptyAnswersTakeNobodyAwayAndAreShown() async {
        #expect(await eventually { hosts.there == ["a", "b"] })
        #expect(await eventually { bell.status?.hosts == 2 })
        source.fails()
        for _ in 0..<5 { await nextQuestion() }
        #expect(await eventually { bell.status?.lastFailure == "the store is gone" })
        #expect((bell.status?.failures ?? 0) >= 4)
        source.names()
        for _ in 0..<5 { await nextQuestion() }
        #expect(await eventually { bell.status?.lastFailure == "it named no host" })
        #expect(hosts.there == ["a", "b"] && hosts.drained.isEmpty)
        source.names("a", "b")
        await nextQuestion()
        #expect(await eventually { bell.status?.failures == 0 && bell.status?.lastFailure == nil })
        await finish()
    }

    @Test func aSourceThatHangsIsLeftAloneUntilItHasEnded() async {
        #expect(await eventually { hosts.there == ["a", "b"] })
        source.hangs(true)
        let asked = source.questions
        #expect(
            await eventually {
                clock.advance(by: .milliseconds(500))
                return (bell.status?.failures ?? 0) >= 3
            }
        )
        #expect(source.questions == asked + 1, "no second question while one is out")
        #expect(hosts.there == ["a", "b"])
        source.names("a", "b", "c")
        source.hangs(false)
        #expect(
            await eventually {
                clock.advance(by: .milliseconds(500))
                return hosts.there == ["a", "b", "c"]
            }
        )
        #expect(source.mostAtOnce == 1)
        await finish()
    }

    @Test func theEndDoesNotWaitForASourceThatHangs() async {
        #expect(await eventually { hosts.there == ["a", "b"] })
        source.hangs(true)
        let asked = source.questions
        #expect(
            await eventually {
                clock.advance(by: .milliseconds(500))
                return source.questions > asked
            }
        )
        await finish()
        source.hangs(false)
    }

    @Test func aHuntAsksEarly() async {
        #expect(await eventually { hosts.there == ["a", "b"] && clock.sleepers > 0 })
        clock.advance(by: .milliseconds(1500))
        #expect(source.questions == 1, "calm, the next one is due after 10 s")
        bell.hunt(true, now: clock.now)
        #expect(await eventually { source.questions == 2 })
        await finish()
    }
}
