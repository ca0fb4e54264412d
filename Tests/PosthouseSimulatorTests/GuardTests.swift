// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster
@testable import PosthouseSimulator

/// For every guard of the topology there is a history in which the whole cluster keeps its promises, and breaks one without it.
@Suite struct GuardTests {
    /// A guard, what has to happen for somebody to miss it, and what that one misses.
    struct Temptation: Sendable, CustomTestStringConvertible {
        let guardLeftOut: TopologyMachine.Guards
        var head = "hosts 3\nclients 12\nsynchronous 1\n"
        var fencing = FencingPolicy.follow
        /// Whether connections are as many as anybody wants and may take their time; else the seed draws that.
        var isRoomy = true
        let script: String
        /// What is said of the broken promise.
        let complaint: String

        var testDescription: String { script.replacing("\n", with: ", ") }

        func scenario(seed: UInt64) -> Scenario? {
            Scenario("seed \(seed)\n" + head + script)
        }

        func run(_ scenario: Scenario, without guards: TopologyMachine.Guards) -> SimulationReport {
            var configuration = ClusterConfiguration.drawn(seed: scenario.seed)
            if isRoomy {
                configuration.pool = PoolConfiguration(maximumSize: 12)
                configuration.pool.connectTimeout = .seconds(5)
            }
            configuration.fencing = fencing
            return Simulation.run(
                scenario,
                configuration: configuration,
                neglecting: [],
                without: guards.rawValue
            )
        }
    }

    private static let pair = "hosts 2\nclients 12\nsynchronous 0\n"
    private static let unacknowledged = "hosts 3\nclients 12\nsynchronous 0\n"

    /// Host 1 is promoted, and what it said then is stuck until it has been given up.
    private static let lateAnswer = """
        490 slow 1 200
        500 terminate 1
        600 promote
        850 cut 1
        860 crash 1
        3200 mend 1
        4000 lag 1 0
        """

    /// Host 1 goes out three times.
    private static let flapping = """
        500 crash 1
        600 start 1 10
        2000 crash 1
        2100 start 1 10
        3500 crash 1
        3600 start 1 10
        7000 lag 1 0
        """

    static let temptations = [
        Temptation(
            guardLeftOut: .staleTimelines,
            isRoomy: false,
            script: "500 promote\n1500 promote",
            complaint: "had come before"
        ),
        Temptation(
            guardLeftOut: .foreignSystems,
            isRoomy: false,
            script: "500 usurp 0\n500 terminate 0\n1000 restore",
            complaint: "a server of another cluster"
        ),
        // The only host that is left is a stranger.
        Temptation(
            guardLeftOut: .fixedIdentity,
            head: "hosts 1\nclients 12\nsynchronous 0\n",
            script: "500 usurp 0\n500 terminate 0\n1500 restore",
            complaint: "a server of another cluster"
        ),
        Temptation(
            guardLeftOut: .answersOfBefore,
            head: pair,
            script: lateAnswer,
            complaint: "an answer of before it went out"
        ),
        // A replica is slow until it is promoted: what it said before comes after what it says now.
        Temptation(
            guardLeftOut: .endOfRecovery,
            head: pair,
            script: "500 slow 1 400\n1000 promote\n1000 slow 1 0\n2000 lag 1 0",
            complaint: "an answer that was overtaken"
        ),
        Temptation(
            guardLeftOut: .growingTimelines,
            head: pair,
            script: "500 slow 1 400\n500 dawdle 1 100\n900 promote\n1000 slow 1 0\n2000 lag 1 0",
            complaint: "an answer that was overtaken"
        ),
        Temptation(
            guardLeftOut: .aliases,
            script: "500 alias 0 1\n510 terminate 1\n3000 heal",
            complaint: "under another name"
        ),
        Temptation(guardLeftOut: .equals, isRoomy: false, script: "500 copy 1", complaint: "a copy"),
        // The former primary is the first to answer.
        Temptation(
            guardLeftOut: .firstElection,
            head: unacknowledged,
            script: "0 promote\n0 slow 1 200\n0 slow 2 200\n1000 slow 1 0\n1000 slow 2 0",
            complaint: "was not waited for"
        ),
        Temptation(
            guardLeftOut: .secondMiss,
            script: "500 freeze 0\n2200 thaw 0",
            complaint: "after 1 silent checks"
        ),
        Temptation(
            guardLeftOut: .localFaults,
            script: "500 exhaust 1\n510 terminate 1\n1500 exhaust 0",
            complaint: "after 0 silent checks"
        ),
        // A session that ended, and one silence.
        Temptation(
            guardLeftOut: .lostSessions,
            isRoomy: false,
            script: "500 terminate 0\n503 cut 0\n1700 mend 0",
            complaint: "after 1 silent checks"
        ),
        Temptation(
            guardLeftOut: .fullServers,
            script: "500 busy 0 1\n510 terminate 0\n2000 busy 0 0",
            complaint: "is full"
        ),
        // Leases of a primary that is out, while a copy of it takes its place.
        Temptation(
            guardLeftOut: .replacedPrimaries,
            isRoomy: false,
            script: "500 copy 1\n700 cut 0\n5000 mend 0",
            complaint: "a write went to host"
        ),
        // Leases of the server that was behind an address, while the new primary is there.
        Temptation(
            guardLeftOut: .newRuns,
            isRoomy: false,
            script: "500 swap 2 0\n900 promote",
            complaint: "a statement went to host 0"
        ),
        Temptation(guardLeftOut: .takingFirst, script: "500 promote", complaint: "2 hosts in the write set"),
        // Nobody can ask the primary for longer than its answers count.
        Temptation(
            guardLeftOut: .age,
            head: "hosts 2\nclients 4\nsynchronous 0\n",
            script: "500 exhaust 1\n510 terminate 0\n7000 exhaust 0",
            complaint: "has answered nobody"
        ),
        Temptation(guardLeftOut: .ownStalls, script: "1000 pause 7000", complaint: "this process was away"),
        Temptation(guardLeftOut: .holdDown, script: flapping, complaint: "serves reads at once"),
        Temptation(
            guardLeftOut: .lastOfClass,
            head: pair,
            script: flapping,
            complaint: "nobody else serves reads"
        ),
        Temptation(guardLeftOut: .endOfHold, script: flapping, complaint: "held down for ever"),
        Temptation(
            guardLeftOut: .drained,
            isRoomy: false,
            script: "500 drain 1\n4000 undrain 1",
            complaint: "it was drained before"
        ),
        Temptation(
            guardLeftOut: .drainedIncumbents,
            script: "500 copy 1\n1500 drain 0\n4000 undrain 0",
            complaint: "a copy, though nothing was wrong with the primary"
        ),
        // A copy took the primary's place. When that is back, the replica that is left says whom it follows.
        Temptation(
            guardLeftOut: .removed,
            head: "hosts 4\nclients 12\nsynchronous 1\n",
            script: "400 remove 3\n500 copy 1\n700 cut 0\n5000 mend 0\n9000 heal",
            complaint: "is the primary, plainly, and not used"
        ),
        Temptation(
            guardLeftOut: .disputes,
            head: unacknowledged,
            fencing: .refuse,
            script: "500 promote\n2000 heal",
            complaint: "nobody had decided so"
        ),
        Temptation(
            guardLeftOut: .decisions,
            head: unacknowledged,
            script: "500 promote\n1500 adopt 0\n2500 heal",
            complaint: "was decided against"
        ),
        Temptation(
            guardLeftOut: .signsOfLife,
            script: "500 slow 0 1100\n5000 slow 0 0",
            complaint: "its users were answered meanwhile"
        ),
        // The same answer is the only one that tells of the new timeline.
        Temptation(
            guardLeftOut: .lateTimelines,
            head: pair,
            script: lateAnswer,
            complaint: "evidence of 2 had come before"
        ),
        // Whoever was decided against comes back as another run.
        Temptation(
            guardLeftOut: .rejections,
            head: pair,
            script: "500 promote\n1000 adopt 0\n1500 crash former\n1600 start former 10\n2500 heal",
            complaint: "was decided against"
        ),
        // The primary is slow to answer for the first time, and a copy of it is not.
        Temptation(
            guardLeftOut: .strangersFollowed,
            script: "0 slow 0 450\n0 copy 1\n2000 slow 0 0",
            complaint: "which nobody has asked"
        ),
    ]

    /// How many seeds a cluster without a guard survives at the most.
    private static let most: UInt64 = 12

    @Test(arguments: temptations)
    func aClusterWithoutThisGuardIsCaught(temptation: Temptation) throws {
        for seed in Seeds.first..<Seeds.first + Self.most {
            let scenario = try #require(temptation.scenario(seed: seed))
            let violations = temptation.run(scenario, without: temptation.guardLeftOut).violations
            if violations.contains(where: { $0.contains(temptation.complaint) }) {
                #expect(temptation.run(scenario, without: []).violations == [], "with all guards")
                return
            }
        }
        Issue.record("nobody misses it")
    }

    @Test func noGuardIsLeftOut() {
        for bit in 0..<32 {
            let rule = TopologyMachine.Guards(rawValue: 1 << bit)
            let isTempted = Self.temptations.contains { $0.guardLeftOut == rule }
            #expect(isTempted == TopologyMachine.Guards.all.contains(rule), "guard \(bit)")
        }
    }
}
