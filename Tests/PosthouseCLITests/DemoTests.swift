// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension CommandsWithServers {
    /// The demo keeps its promises, without a terminal too.
    @Suite(.timeLimit(.minutes(20)))
    struct DemoTests {
        @Test func theDemoEndsWellAndTellsWhatWasFelt() async throws {
            let run = try await CommandRun("demo", "--json")
            #expect(run.status == 0, "\(run.errors)")
            let objects = try run.objects()
            #expect(objects.allSatisfy { $0["version"] as? Int == 1 })
            let summary = try #require(objects.last)
            #expect(summary["event"] as? String == "summary")
            #expect(summary["promotion_to_first_write_ms"] is NSNumber)
            #expect(summary["statements_on_stale_primary"] as? Int == 0)
            #expect((summary["stale_primary"] as? String)?.contains("timeline 1") == true)
            #expect((summary["ok"] as? Int ?? 0) > 0)
        }

        @Test func aSecondRunWorksAtOnceAndSpeaksToPeople() async throws {
            let run = try await CommandRun("demo")
            #expect(run.status == 0, "\(run.errors)")
            #expect(run.output.contains("promotion_to_first_write_ms: "))
            #expect(run.output.contains("In short: "))
        }

        @Test func anInterruptedDemoLeavesNothingBehind() async throws {
            let demo = try CommandProcess(["demo"])
            while !demo.output.contains("An application with") { try await Task.sleep(for: .milliseconds(5)) }
            let ports = demo.output.matches(of: /127\.0\.0\.1:(\d+)/).map { String($0.output.1) }
            #expect(ports.count == 3)
            demo.signal(SIGINT)
            let run = await demo.end()
            #expect(run.status == 130)
            for port in ports {
                #expect(try !processes(mention: "-p \(port)"))
                #expect(try !processes(mention: "port=\(port)"))
            }
        }

        /// Whether any process of this machine has that in its command line.
        private func processes(mention text: String) throws -> Bool {
            let folders = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }
            return folders.contains { pid in
                guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else { return false }
                return String(decoding: data, as: UTF8.self).replacing("\0", with: " ").contains(text)
            }
        }
    }
}
