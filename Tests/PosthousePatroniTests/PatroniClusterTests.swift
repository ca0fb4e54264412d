// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import Testing

@testable import PosthousePatroni

@Suite struct PatroniClusterTests {
    private func read(_ text: String) throws(PatroniError) -> PatroniCluster {
        try PatroniCluster(json: Array(text.utf8))
    }

    @Test func aClusterIsReadAsPatroniDescribesIt() throws {
        let cluster = try read(Samples.three)
        #expect(cluster.members.map(\.name) == ["db1", "db2", "db3"])
        #expect(cluster.leader?.name == "db2")
        #expect(cluster.leader?.timeline == 5)
        #expect(cluster.leader?.endpoint?.description == "10.0.0.2:5432")
        #expect(cluster.members[0].lag == 16)
        #expect(cluster.members[2].lag == nil, "unknown")
        #expect(cluster.members[2].timeline == nil)
        #expect(cluster.members[0].tags == ["clonefrom"])
        #expect(cluster.members[2].tags == ["noloadbalance", "nofailover", "replicatefrom_db1"])
        #expect(cluster.members.map(\.takesNoReads) == [false, false, true])
        #expect(!cluster.isPaused)
    }

    @Test func anOldPatroniSaysMasterAndAPausedOneSaysSo() throws {
        let cluster = try read(
            #"{"members": [{"name": "a", "role": "master", "state": "running", "host": "a", "port": 1}], "pause": true}"#
        )
        #expect(cluster.leader?.name == "a")
        #expect(cluster.isPaused)
    }

    @Test func twoLeadersAreNone() throws {
        let member = #"{"name": "a", "role": "leader", "state": "running", "host": "a", "port": 1}"#
        #expect(try read(#"{"members": [\#(member), \#(member)]}"#).leader == nil)
    }

    @Test func aStandbyClusterHasNoLeaderThatTakesWrites() throws {
        let member = #"{"name": "a", "role": "standby_leader", "state": "streaming", "host": "a", "port": 1}"#
        #expect(try read(#"{"members": [\#(member)]}"#).leader == nil)
    }

    @Test func aMemberWithoutAnAddressIsAMemberThatCannotBeReached() throws {
        let cluster = try read(#"{"members": [{"name": "a", "role": "replica"}]}"#)
        #expect(cluster.members.count == 1)
        #expect(cluster.members[0].endpoint == nil)
    }

    @Test(arguments: [
        "", "null", "[]", "{}", "7", "\"members\"", #"{"members": 1}"#, #"{"members": [1]}"#, #"{"members": [{}]}"#,
        #"{"members": [{"name": 1, "role": "leader"}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a", "port": "5432"}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a", "port": 0}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a", "port": 65536}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a", "port": -1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a", "port": 1e300}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a,b", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "/tmp", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "@x", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a b", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "host": "a\u0000b", "port": 1}]}"#,
        #"{"members": [{"name": "a", "role": "leader", "tags": 7}]}"#,
        "<html>502 Bad Gateway</html>",
    ])
    func whatIsNoClusterIsATypedError(_ text: String) {
        let error = #expect(throws: PatroniError.self) { try read(text) }
        #expect(error?.code == .malformedAnswer)
    }

    @Test func deepAndLongDocumentsAreErrorsToo() {
        let depth = 200_000
        let deep = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let member = #"{"name": "a", "role": "replica"}"#
        let long = #"{"members": [\#(Array(repeating: member, count: 257).joined(separator: ","))]}"#
        for text in [deep, #"{"members": \#(deep)}"#, String(repeating: #"{"members":"#, count: depth), long] {
            #expect(throws: PatroniError.self) { try read(text) }
        }
    }

    /// Documents with bytes changed, cut, doubled and put elsewhere: each is a cluster or a typed error.
    @Test func noMutationOfADocumentIsMoreThanAnError() {
        var random = SystemRandomNumberGenerator()
        let original = Array(Samples.three.utf8)
        let words = ["null", "1e999", "-1", "[", "}", "\"", "\\u0000", "\\ud800", "99999999999999999999", "\u{FEFF}"]
        var (read, refused) = (0, 0)
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0...Int.random(in: 0..<4) {
                guard !bytes.isEmpty else { break }
                let place = Int.random(in: 0..<bytes.count)
                let end = min(bytes.count, place + Int.random(in: 1...24))
                switch Int.random(in: 0..<6) {
                case 0: bytes[place] = UInt8.random(in: 0...255)
                case 1: bytes.removeSubrange(place..<end)
                case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
                case 3: bytes.removeSubrange(place...)
                case 4: bytes.replaceSubrange(place..<end, with: Array(words.randomElement(using: &random)!.utf8))
                default: bytes.swapAt(place, Int.random(in: 0..<bytes.count))
                }
            }
            do throws(PatroniError) {
                let cluster = try PatroniCluster(json: bytes)
                for member in cluster.members {
                    if let host = member.host { #expect(PatroniCluster.isHost(host)) }
                    if let port = member.port { #expect((1...65535).contains(port)) }
                }
                read += 1
            } catch {
                #expect(error.code == .malformedAnswer)
                refused += 1
            }
        }
        #expect(read > 0 && refused > 0)
    }
}

enum Samples {
    /// As Patroni 4 answers, with what operators do to tags.
    static let three = """
        {"members": [
          {"name": "db2", "role": "leader", "state": "running", "api_url": "https://10.0.0.2:8008/patroni",
           "host": "10.0.0.2", "port": 5432, "timeline": 5},
          {"name": "db1", "role": "sync_standby", "state": "streaming", "api_url": "https://10.0.0.1:8008/patroni",
           "host": "10.0.0.1", "port": 5433, "timeline": 5, "tags": {"clonefrom": true, "nosync": false}, "lag": 16,
           "receive_lag": 0, "receive_lsn": "0/4000060", "replay_lag": 16, "replay_lsn": "0/4000060", "lsn": "0/4000060"},
          {"name": "db3", "role": "replica", "state": "creating replica", "api_url": "https://db3:8008/patroni",
           "host": "db3.example", "port": 5432, "timeline": "unknown", "lag": "unknown",
           "tags": {"noloadbalance": "on", "nofailover": 1, "replicatefrom_db1": "yes", "nostream": null, "x": {"y": []}}}
         ],
         "scope": "shop", "scheduled_switchover": {"at": "2026-01-01T00:00:00+00:00", "from": "db2", "to": "db1"}}
        """
}
