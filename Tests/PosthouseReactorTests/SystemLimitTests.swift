// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

/// In processes of their own, because limits and signals belong to a process.
@Suite(.timeLimit(.minutes(2)))
struct SystemLimitTests {
    @Test func withoutDescriptorsALoopIsRefusedWithATypedError() async throws {
        await #expect(processExitsWith: .success) {
            // Room for none, and room for the first of the two that a loop needs.
            for room in 0...1 {
                let next = dup(0)
                close(next)
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let before = limit.rlim_cur
                limit.rlim_cur = rlim_t(Int(next) + room)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                do throws(ReactorError) {
                    _ = try EventLoop(name: "test")
                    exit(10)
                } catch {
                    if error.code != .tooManyOpenFiles || error.errorNumber != EMFILE { exit(11) }
                    if !error.description.contains("tooManyOpenFiles") { exit(12) }
                }
                do throws(ReactorError) {
                    _ = try EventLoopGroup.shared
                    exit(13)
                } catch {
                    if error.code != .tooManyOpenFiles { exit(14) }
                }
                limit.rlim_cur = before
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let again = dup(0)
                // Nothing was left open, and the next attempt succeeds.
                if again != next { exit(15) }
                close(again)
            }
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
