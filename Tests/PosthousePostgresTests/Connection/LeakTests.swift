// SPDX-License-Identifier: Apache-2.0

import Glibc
import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// Counts descriptors, which only means something in a process where nothing else runs.
@Suite(.timeLimit(.minutes(20))) struct LeakTests {
    @Test func nothingIsLeftOverWhateverHappensToConnections() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop(name: "leaks")
            let good = try await TestServer.parameters(user: "alice", password: TestServer.password)
            let wrong = try await TestServer.parameters(user: "alice", password: "wrong")

            func round(_ number: Int, _ mute: ConnectionParameters, _ noise: ConnectionParameters) async throws {
                _ = try? await connect(wrong, loop: loop)
                _ = try? await connect(mute, loop: loop, within: .milliseconds(5))
                _ = try? await connect(noise, loop: loop)
                let cancelled = Task { try await connect(good, loop: loop) }
                for _ in 0..<number { await Task.yield() }
                cancelled.cancel()
                try? await cancelled.value.close()

                let connection = try await connect(good, loop: loop)
                _ = try await connection.query("SELECT \(number)::int")
                switch number % 5 {
                case 0:
                    let task = Task { try await connection.query("SELECT pg_sleep(60)") }
                    for _ in 0..<number { await Task.yield() }
                    task.cancel()
                    _ = try? await task.value
                case 1: _ = try? await connection.query("SELECT pg_sleep(60)", deadline: .now + .milliseconds(2))
                case 2: _ = try? await connection.query("SELECT pg_terminate_backend(pg_backend_pid())")
                case 3:
                    connection.interrupt(.fenced)
                    return  // Dropped without being closed.
                default: break
                }
                connection.close()
            }

            func run(rounds: Int, until isEnough: (Int) -> Bool) async throws -> Int {
                let silent = try TestListener(.silent)
                let garbage = try TestListener(.answerAndClose(Array("HTTP/1.1 400 Bad Request\r\n".utf8)))
                let mute = try ConnectionParameters("postgresql://u@127.0.0.1:\(silent.port)/d")
                let noise = try ConnectionParameters("postgresql://u@127.0.0.1:\(garbage.port)/d")
                for number in 0..<rounds { try await round(number, mute, noise) }
                silent.stop()
                garbage.stop()
                // The listeners' threads close their side a moment later.
                let deadline = ContinuousClock.now + .seconds(120)
                while !isEnough(openDescriptors()), ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(5))
                }
                return openDescriptors()
            }

            let start = openDescriptors()
            let before = try await run(rounds: 5) { $0 <= start }
            let after = try await run(rounds: 100) { $0 <= before }
            let statistics = loop.statistics
            let isClean =
                after <= before && statistics.registrations == 0 && statistics.waitingContinuations == 0
                && statistics.pendingTimers == 0
            print("descriptors: \(before) before, \(after) after; \(statistics)")
            exit(isClean ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }

    @Test func runningOutOfDescriptorsIsThisMachinesFailure() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop(name: "descriptors")
            let parameters = try await TestServer.parameters()
            try await connect(parameters, loop: loop).close()
            var taken: [Int32] = []
            var limit = rlimit(rlim_cur: 256, rlim_max: 256)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            while true {
                let descriptor = dup(0)
                guard descriptor >= 0 else { break }
                taken.append(descriptor)
            }
            var code: DatabaseError.Code?
            do {
                try await connect(parameters, loop: loop).close()
            } catch let error as DatabaseError {
                code = error.code
            }
            taken.forEach { close($0) }
            try await connect(parameters, loop: loop).close()
            exit(code == .localFailure ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }
}

private func openDescriptors() -> Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count
}
