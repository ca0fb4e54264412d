// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Reading one's own writes, on replicas that lag, stand still, and are promoted.
    @Suite struct TokenTests {
        private static func count(_ id: Int, in db: DatabaseSession) async throws -> Int {
            try await db.queryValue("SELECT count(*) FROM ledger WHERE id = \(id)", as: Int.self)
        }

        private static func insert(_ id: Int, into cluster: PostgresCluster) async throws -> CommitToken {
            try await cluster.write { db in
                try await db.execute("INSERT INTO ledger (id) VALUES (\(id))")
                return try await db.commitToken()
            }
        }

        @Test func whoeverReadsAfterATokenSeesWhatWasWritten() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                let primary = servers.primary.address
                let hosts = try await withThrowingTaskGroup(of: [String].self) { group in
                    for writer in 0..<4 {
                        group.addTask {
                            var hosts: [String] = []
                            for turn in 0..<50 {
                                let id = writer * 1000 + turn
                                let token = try await Self.insert(id, into: cluster)
                                // As if it had travelled in a header.
                                let received = try #require(CommitToken(token.description))
                                let (count, host) = try await cluster.read(after: received, maximumWait: .seconds(60)) {
                                    db in
                                    (try await Self.count(id, in: db), db.host)
                                }
                                #expect(count == 1, "\(id) on \(host)")
                                hosts.append(host)
                            }
                            return hosts
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(!hosts.contains(primary))
                #expect(Set(hosts).count == 2)
                await cluster.close()
            }
        }

        @Test func aReplicaThatStandsStillIsNotWaitedForLong() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                try await servers.replicas[0].query("SELECT pg_wal_replay_pause()")
                let token = try await Self.insert(1, into: cluster)
                let host = try await cluster.read(after: token, maximumWait: .milliseconds(20)) { db in
                    let count = try await Self.count(1, in: db)
                    #expect(count == 1)
                    return db.host
                }
                #expect(host == servers.primary.address)
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.read(after: token, maximumWait: .milliseconds(20), fallbackPrimary: false) { _ in
                    }
                }
                #expect(error?.code == .tokenNotReached)
                // One that goes on meanwhile is waited for.
                async let late = cluster.read(after: token, maximumWait: .seconds(120), fallbackPrimary: false) { db in
                    let count = try await Self.count(1, in: db)
                    #expect(count == 1)
                    return db.host
                }
                try await servers.replicas[0].query("SELECT pg_wal_replay_resume()")
                #expect(try await late == servers.replicas[0].address)
                await cluster.close()
            }
        }

        @Test func aTokenOutlivesAFailover() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                let before = try await Self.insert(1, into: cluster)
                try await servers.replicas[0].waitUntilCaughtUp(with: servers.primary)
                try await servers.replicas[1].waitUntilCaughtUp(with: servers.primary)
                let heir = servers.replicas[0]
                try await servers.primary.kill()
                try await heir.promote()
                try await servers.replicas[1].follow(heir)
                let after = try await cluster.write { db in
                    try await db.execute("INSERT INTO ledger (id) VALUES (2)")
                    return try await db.commitToken()
                }
                #expect(after.timeline ?? 0 > before.timeline ?? 0)
                for (id, token) in [(1, before), (2, after)] {
                    let count = try await cluster.read(after: token, maximumWait: .seconds(60)) { db in
                        try await Self.count(id, in: db)
                    }
                    #expect(count == 1)
                }
                await cluster.close()
            }
        }

        @Test func tokensOfOtherClustersAndOfTimelinesNobodyKnowsAreRefused() async throws {
            let servers = try await SharedServers.get()
            let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
            try await cluster.ready(timeout: .seconds(120))
            var token = try await cluster.commitToken()
            #expect(token.systemIdentifier.map(String.init) == (try await servers.primary.systemIdentifier()))
            token.timeline = 4711
            let ahead = await #expect(throws: ClusterError.self) {
                try await cluster.read(after: token, timeout: .milliseconds(200)) { _ in }
            }
            #expect(ahead?.code == .tokenNotReached)
            token.systemIdentifier = 1
            let foreign = await #expect(throws: ClusterError.self) {
                try await cluster.read(after: token) { _ in }
            }
            #expect(foreign?.code == .foreignToken)
            // It stopped nobody.
            #expect(try await cluster.write { $0.host } == servers.primary.address)
            await cluster.close()
        }

        @Test func aTokenWithinATransactionIsRefused() async throws {
            let cluster = try PostgresCluster(await SharedServers.get().dsn())
            let error = await #expect(throws: DatabaseError.self) {
                try await cluster.write { db in
                    try await db.withTransaction { db in _ = try await db.commitToken() }
                }
            }
            #expect(error?.code == .invalidStatement)
            await cluster.close()
        }
    }
}
