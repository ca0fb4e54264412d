// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseReactor

/// Turns host names into numeric addresses without blocking anybody.
///
/// `getaddrinfo` blocks for as long as name servers please, and cannot be stopped. So it runs on threads of its own, at most
/// four; each name is looked up once at a time, however many ask, so that a name whose server hangs holds one thread only.
/// The last good answer of each name is kept: it serves when name servers are down or slow, which is when connections
/// are needed most.
final class Resolver: Sendable {
    typealias LookUp = @Sendable (_ host: String) -> Result<[String], ResolverFailure>

    static let shared = Resolver()

    private struct State {
        /// Who waits for which name. A name is here while it is queued or being looked up.
        var waiters: [String: [ResolverWaiter]] = [:]
        var queue: [String] = []
        var threads = 0
        var lastGood: [String: [String]] = [:]
    }

    private let state = Guarded(State())
    private let maximumThreads: Int
    private let lookUp: LookUp

    /// Beyond this many names the memory of good answers starts anew.
    private static let rememberedNames = 1024

    init(maximumThreads: Int = 4, lookUp: @escaping LookUp = systemLookUp) {
        self.maximumThreads = maximumThreads
        self.lookUp = lookUp
    }

    /// The addresses of a name, in the order in which they should be tried; not empty.
    ///
    /// Where an earlier answer is known, a new one is awaited for a quarter of the time only.
    func addresses(
        of host: String,
        loop: EventLoop,
        deadline: ContinuousClock.Instant
    ) async throws(ResolverFailure) -> [String] {
        let known = state.withLock { $0.lastGood[host] }
        let now = ContinuousClock.now
        let patience = known == nil ? deadline : now + max(.zero, deadline - now) / 4
        let waiter = ResolverWaiter()
        // First: whatever ends the wait takes the waiter off the list.
        enlist(waiter, for: host)
        let timer = loop.schedule(at: patience) { self.end(waiter, of: host, .failure(.timedOut)) }
        defer { loop.cancel(timer) }
        let answer = await withTaskCancellationHandler {
            await waiter.answer()
        } onCancel: {
            self.end(waiter, of: host, .failure(.cancelled))
        }
        switch answer {
        case .success(let addresses): return addresses
        case .failure(.cancelled): throw .cancelled
        case .failure(let failure):
            guard let known else { throw failure }
            return known
        }
    }

    /// Lookups in progress and tasks that wait, for tests.
    var load: (threads: Int, waiters: Int) {
        state.withLock { ($0.threads, $0.waiters.values.reduce(0) { $0 + $1.count }) }
    }

    private func enlist(_ waiter: ResolverWaiter, for host: String) {
        let needsThread = state.withLock { state in
            if state.waiters[host] != nil {
                state.waiters[host]?.append(waiter)
                return false
            }
            state.waiters[host] = [waiter]
            state.queue.append(host)
            guard state.threads < maximumThreads else { return false }
            state.threads += 1
            return true
        }
        guard needsThread, !startResolverThread({ self.work() }) else { return }
        let abandoned = state.withLock { state in
            state.threads -= 1
            // Another thread may still get to the names; without any, nobody would.
            guard state.threads == 0 else { return [String]() }
            defer { state.queue = [] }
            return state.queue
        }
        for host in abandoned { finish(host, .failure(.outOfResources("no thread can be made"))) }
    }

    /// A thread's life: it looks names up until none is left.
    private func work() {
        while let host = next() {
            finish(host, lookUp(host))
        }
    }

    private func next() -> String? {
        state.withLock { state in
            while !state.queue.isEmpty {
                let host = state.queue.removeFirst()
                if state.waiters[host]?.isEmpty == false { return host }
                state.waiters[host] = nil
            }
            state.threads -= 1
            return nil
        }
    }

    private func finish(_ host: String, _ answer: Result<[String], ResolverFailure>) {
        let waiters = state.withLock { state in
            if case .success(let addresses) = answer {
                if state.lastGood.count >= Self.rememberedNames, state.lastGood[host] == nil { state.lastGood = [:] }
                state.lastGood[host] = addresses
            }
            return state.waiters.removeValue(forKey: host) ?? []
        }
        for waiter in waiters { waiter.resolve(answer) }
    }

    private func end(_ waiter: ResolverWaiter, of host: String, _ answer: Result<[String], ResolverFailure>) {
        state.withLock { $0.waiters[host]?.removeAll { $0 === waiter } }
        waiter.resolve(answer)
    }
}

/// One task that waits for an answer: it gets the first one, whether that comes before or after it starts to wait.
final class ResolverWaiter: Sendable {
    typealias Answer = Result<[String], ResolverFailure>

    private enum State {
        case fresh
        case waiting(CheckedContinuation<Answer, Never>)
        case answered(Answer)
    }

    private let state = Guarded(State.fresh)

    func answer() async -> Answer {
        await withCheckedContinuation { continuation in
            let early: Answer? = state.withLock { state in
                if case .answered(let answer) = state { return answer }
                state = .waiting(continuation)
                return nil
            }
            if let early { continuation.resume(returning: early) }
        }
    }

    func resolve(_ answer: Answer) {
        let continuation: CheckedContinuation<Answer, Never>? = state.withLock { state in
            defer { if case .answered = state {} else { state = .answered(answer) } }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume(returning: answer)
    }
}
