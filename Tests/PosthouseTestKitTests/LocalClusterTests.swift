// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(3)))
struct LocalClusterTests {
    @Test func aClusterBootsWithReplicasThatStreamAndOneIsPromoted() async throws {
        let begin = ContinuousClock.now
        try await LocalCluster.withCluster(.init(replicas: 2)) { cluster in
            print("boot", begin.duration(to: .now))
            try await cluster.primary.query("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
            try await cluster.waitUntilCaughtUp()
            #expect(try await cluster.nodes[2].value(of: "SELECT count(*) FROM t") == "1")
            var at = ContinuousClock.now
            try await cluster.nodes[0].kill()
            print("kill", at.duration(to: .now)); at = .now
            #expect(try await cluster.nodes[0].status().state == .down)
            try await cluster.failOver(to: cluster.nodes[1])
            print("failover", at.duration(to: .now)); at = .now
            try await cluster.primary.query("INSERT INTO t VALUES (2)")
            try await cluster.waitUntilCaughtUp()
            print("caught", at.duration(to: .now)); at = .now
            #expect(try await cluster.nodes[2].value(of: "SELECT count(*) FROM t") == "2")
            try await cluster.nodes[0].start()
            print("start", at.duration(to: .now)); at = .now
            #expect(try await cluster.nodes[0].timeline() == 1)
            #expect(try await cluster.nodes[1].timeline() == 2)
            #expect(try await cluster.nodes[2].timeline() == 2)
            at = .now
            try await cluster.nodes[1].pause()
            print("pause", at.duration(to: .now)); at = .now
            #expect(try await cluster.nodes[1].status().state == .paused)
            try await cluster.nodes[1].resume()
            print("resume", at.duration(to: .now)); at = .now
            try await cluster.nodes[0].rejoin(following: cluster.primary)
            print("rejoin", at.duration(to: .now)); at = .now
            try await cluster.waitUntilCaughtUp()
            #expect(try await cluster.nodes[0].value(of: "SELECT count(*) FROM t") == "2")
        }
        print("all", begin.duration(to: .now))
    }
}
