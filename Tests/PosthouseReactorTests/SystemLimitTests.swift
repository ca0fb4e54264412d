// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

/// In processes of their own, because limits and signals belong to a process.
@Suite(.timeLimit(.minutes(20)))
struct SystemLimitTests {
    @Test func withoutDescriptorsALoopIsRefusedWithATypedError() async throws {
        await #expect(processExitsWith: .success) {
            // Room for none, and room for the first of the two that a loop needs.
            for room in 0...1 {
                let before = Descriptors.open
                var refused = 0
                for _ in 0..<100 {
                    let taken = Descriptors.takeAll(leaving: room)
                    defer { for descriptor in taken { close(descriptor) } }
                    do throws(ReactorError) {
                        let loop = try EventLoop(name: "test")
                        // Somebody else in this process closed one meanwhile.
                        await loop.shutdown()
                    } catch {
                        if error.code != .tooManyOpenFiles || error.errorNumber != EMFILE { exit(11) }
                        if !error.description.contains("tooManyOpenFiles") { exit(12) }
                        refused += 1
                    }
                }
                if refused < 50 { exit(10) }
                // Others open and close some too, but not so many.
                if Descriptors.open > before + 20 { exit(15) }
            }
            var taken = Descriptors.takeAll(leaving: 0)
            do throws(ReactorError) {
                _ = try EventLoopGroup.shared
                exit(13)
            } catch {
                if error.code != .tooManyOpenFiles { exit(14) }
            }
            for descriptor in taken { close(descriptor) }
            taken = []
            // The next attempt succeeds.
            let loop = try EventLoop(name: "test")
            await loop.shutdown()
            _ = try EventLoopGroup.shared
            exit(EXIT_SUCCESS)
        }
    }

    @Test func aWriteToAClosedSocketDoesNotKillTheProcess() async throws {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_DFL)
            let loop = try EventLoop(name: "test")
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { exit(EXIT_FAILURE) }
            close(ends[0])
            var byte: UInt8 = 0
            let isBroken = write(ends[1], &byte, 1) == -1 && errno == EPIPE
            await loop.shutdown()
            exit(isBroken ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }

    @Test func aProgramsOwnHandlerForSIGPIPEIsLeftAlone() async throws {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE) { _ in _exit(EXIT_SUCCESS) }
            let loop = try EventLoop(name: "test")
            raise(SIGPIPE)
            await loop.shutdown()
            exit(EXIT_FAILURE)
        }
    }
}

/// This process's file descriptors.
private enum Descriptors {
    private static let limit: Int32 = 256

    static var open: Int { (0..<limit).count { fcntl($0, F_GETFD) >= 0 } }

    /// Opens all that the process may have, but so many.
    static func takeAll(leaving room: Int) -> [Int32] {
        var limits = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
        limits.rlim_cur = rlim_t(limit)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
        var taken: [Int32] = []
        while true {
            let descriptor = dup(STDERR_FILENO)
            guard descriptor >= 0 else { break }
            taken.append(descriptor)
        }
        for descriptor in taken.suffix(room) { close(descriptor) }
        return taken.dropLast(room)
    }
}
