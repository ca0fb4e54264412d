// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import PosthouseTestKit

extension LocalServers {
    /// Whatever ends the process, its cluster ends too. The processes here are forks of the test binary (exit tests) that
    /// print what they started and die.
    @Suite(.timeLimit(.minutes(20)))
    struct LeftoverTests {
        @Test func aKilledProcessLeavesNothing() async throws {
            let result = await #expect(processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]) {
                try await Doomed.start { _ in Doomed.die(of: SIGKILL) }
            }
            try await Doomed.expectNothingLeft(of: result?.standardOutputContent)
        }

        @Test func anInterruptedProcessLeavesNothing() async throws {
            let result = await #expect(processExitsWith: .signal(SIGINT), observing: [\.standardOutputContent]) {
                try await Doomed.start { _ in Doomed.die(of: SIGINT) }
            }
            try await Doomed.expectNothingLeft(of: result?.standardOutputContent)
        }

        @Test func aProcessThatExitsWithoutShutdownLeavesNothing() async throws {
            let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
                try await Doomed.start { _ in exit(0) }
            }
            try await Doomed.expectNothingLeft(of: result?.standardOutputContent)
        }

        @Test func aKilledProcessLeavesNothingOfFrozenAndOrphanedServersEither() async throws {
            let result = await #expect(processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]) {
                try await Doomed.start { cluster in
                    // The replica's children outlive their postmaster, because they are frozen.
                    try await cluster.nodes[1].pause()
                    let postmaster = try await cluster.nodes[1].status().pid ?? 0
                    kill(postmaster, SIGKILL)
                    Doomed.die(of: SIGKILL)
                }
            }
            try await Doomed.expectNothingLeft(of: result?.standardOutputContent)
        }

        @Test(.enabled(if: LocalPatroni.isInstalled, "needs Patroni and etcd"))
        func aKilledProcessLeavesNothingOfPatroniEither() async throws {
            let result = await #expect(processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]) {
                let patroni = try await LocalPatroni.start(.init(members: 2))
                try await Doomed.announce(patroni.servers)
                Doomed.die(of: SIGKILL)
            }
            try await Doomed.expectNothingLeft(of: result?.standardOutputContent)
        }

        @Test func aClusterThatIsLetGoOfLeavesNothing() async throws {
            var cluster: LocalCluster? = try await LocalCluster.start()
            let folder = try #require(cluster?.folder)
            let user = try #require(cluster?.layout.user)
            cluster = nil
            #expect(try await waitUntilTrue { !Files.exists(folder) })
            #expect(try ProcessFolder(path: folder, user: user).list().isEmpty)
        }

        @Test func aStartThatIsCancelledLeavesNothing() async throws {
            let name = "posthouse-marker-\(getpid())"
            let starting = Task {
                try await LocalCluster.start(.init(replicas: 2, settings: ["update_process_title": name]))
            }
            starting.cancel()
            await #expect(throws: LocalClusterError.self) { try await starting.value }
        }
    }
}

/// What a process that is going to die started, as it tells the test that watches.
enum Doomed {
    private static let mark = "@@posthouse@@"

    static func start(_ end: (LocalCluster) async throws -> Void) async throws {
        let cluster = try await LocalCluster.start(.init(replicas: 1))
        try await self.announce(cluster)
        try await end(cluster)
        withExtendedLifetime(cluster) {}
    }

    static func announce(_ cluster: LocalCluster) async throws {
        var pids: [Int32] = []
        for node in cluster.nodes { pids += try await node.pids() }
        // The test binary writes to the standard output too: a line of its own, and a mark.
        let words = [cluster.folder] + pids.map { "\($0)" } + self.sharedMemory(of: pids).map { "shm\($0)" }
        let text = "\n\(self.mark) \(words.joined(separator: " "))\n"
        _ = Array(text.utf8).withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
    }

    /// Threads that run tasks block most signals, and one that every thread blocks would come at some later time, or
    /// after the process ended by itself: this thread takes it, here.
    static func die(of number: Int32) -> Never {
        signal(number, SIG_DFL)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, number)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        raise(number)
        _exit(1)
    }

    static func expectNothingLeft(of output: [UInt8]?) async throws {
        let lines = String(decoding: try #require(output), as: UTF8.self).split(separator: "\n")
        let line = try #require(lines.last { $0.hasPrefix(self.mark) })
        let words = line.split(separator: " ").dropFirst()
        let folder = String(try #require(words.first))
        let pids = words.dropFirst().compactMap { Int32($0) }
        #expect(pids.count > 8)
        #expect(try await waitUntilTrue { !Files.exists(folder) })
        #expect(try ProcessFolder(path: folder, user: .current()).list().isEmpty)
        // On a busy machine the last of a process goes a little later than its folder.
        for pid in pids {
            let isGone = try await waitUntilTrue {
                // A zombie is nobody's: its parent is the system's first process, which may be slow to reap.
                let state = ProcessFolder.state(of: pid)
                let isPostgres = Files.text(of: "/proc/\(pid)/comm")?.hasPrefix("postgres") == true
                return state == nil || state == "Z" || !isPostgres
            }
            #expect(isGone)
        }
        let segments = words.filter { $0.hasPrefix("shm") }.compactMap { Int($0.dropFirst(3)) }
        #expect(!segments.isEmpty)
        #expect(try await waitUntilTrue { self.sharedMemory().allSatisfy { !segments.contains($0.identifier) } })
    }

    /// The segments of System V shared memory that these processes made and use. What others left behind long ago may bear
    /// the same process identifiers.
    private static func sharedMemory(of pids: [Int32]) -> [Int] {
        self.sharedMemory().filter { pids.contains(Int32($0.creator)) && $0.users > 0 }.map(\.identifier)
    }

    private static func sharedMemory() -> [(identifier: Int, creator: Int, users: Int)] {
        (Files.text(of: "/proc/sysvipc/shm") ?? "").split(separator: "\n").dropFirst().compactMap { line in
            // Key, identifier, mode, size, creator, last user, users.
            let columns = line.split(separator: " ").compactMap { Int($0) }
            return columns.count > 6 ? (columns[1], columns[4], columns[6]) : nil
        }
    }
}
