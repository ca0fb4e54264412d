// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Which hosts a policy is asked about, and what becomes of its answer.
@Suite struct RouterTests {
    /// Nothing is ever opened.
    private struct Nobody: ConnectionStrategy {
        func create(slot: PoolSlot) async throws -> Int { throw CancellationError() }
        func isClosed(_ connection: Int) -> Bool { true }
        func close(_ connection: Int) {}
    }

    private struct Rig {
        let group = PoolGroup<Int>()
        let router: Router<Int>
        let members: [MemberID]

        init(
            _ services: [ServiceClass],
            clock: any ClusterClock = RealTime(),
            _ configure: (inout ClusterConfiguration) -> Void
        ) throws {
            var configuration = ClusterConfiguration()
            configure(&configuration)
            router = Router(configuration, group: group, clock: clock, random: SeededRandom(1).next)
            var members: [MemberID] = []
            for (index, services) in services.enumerated() {
                let pool = PoolConfiguration(maximumSize: 10)
                members.append(try group.addMember(label: "db\(index):5432", configuration: pool, strategy: Nobody()))
                group.setServices(services, for: members[index])
                router.add("db\(index):5432", members[index])
            }
            self.members = members
        }

        func counts(_ request: AcquireRequest, times: Int = 3_000) -> [Int] {
            var counts = members.map { _ in 0 }
            for _ in 0..<times {
                if let chosen = router.preference(of: request), let index = members.firstIndex(of: chosen) {
                    counts[index] += 1
                }
            }
            return counts
        }
    }

    private static let reads = AcquireRequest(wants: .reads, fallback: .primary)

    @Test func withoutWeightsAndZonesTheGreedyPolicyIsThePoolsOwn() throws {
        #expect(try Rig([.replica]) { _ in }.router.isNeutral)
        #expect(try !Rig([.replica]) { $0.hostWeights = ["db0:5432": 2] }.router.isNeutral)
        #expect(try !Rig([.replica]) { $0.zone = "a" }.router.isNeutral)
        #expect(try !Rig([.replica]) { $0.balancing = .roundRobin }.router.isNeutral)
    }

    @Test func onlyHostsThatMayServeAreCandidates() throws {
        let rig = try Rig([.primary, .replica, [], .replica]) { $0.balancing = WeightedBalancing { _ in 1 } }
        let counts = rig.counts(Self.reads)
        #expect(counts[0] == 0 && counts[2] == 0)
        #expect(chiSquare([counts[1], counts[3]], [1, 1]) < 10.8)
        for index in [1, 3] { rig.group.setServices([], for: rig.members[index]) }
        #expect(rig.counts(Self.reads) == [3_000, 0, 0, 0], "the fallback")
        rig.group.setServices([], for: rig.members[0])
        #expect(rig.counts(Self.reads) == [0, 0, 0, 0])
    }

    @Test func aHostOfWeightZeroIsChosenOnlyIfThereIsNoOther() throws {
        let rig = try Rig([.replica, .replica, .replica]) {
            $0.hostWeights = ["db0:5432": 0, "db1:5432": 3]
            $0.balancing = .randomWeighted
        }
        #expect(chiSquare(Array(rig.counts(Self.reads)[1...]), [3, 1]) < 10.8)
        #expect(rig.counts(Self.reads)[0] == 0)
        for index in [1, 2] { rig.group.setServices([], for: rig.members[index]) }
        #expect(rig.counts(Self.reads) == [3_000, 0, 0])
    }

    @Test func hostsOfTheOwnZoneComeFirst() throws {
        let rig = try Rig([.replica, .replica, .replica, .replica]) {
            $0.zone = "a"
            $0.hostZones = ["db1:5432": "a", "db2:5432": "a", "db3:5432": "b"]
        }
        let counts = rig.counts(Self.reads)
        #expect(counts[0] == 0 && counts[3] == 0)
        #expect(chiSquare(Array(counts[1...2]), [1, 1]) < 10.8)
        for index in [1, 2] { rig.group.setServices([], for: rig.members[index]) }
        let others = rig.counts(Self.reads)
        #expect(chiSquare([others[0], others[3]], [1, 1]) < 10.8)
    }

    @Test func aZoneOutweighsAWeightButNotAWeightOfZero() throws {
        let rig = try Rig([.replica, .replica]) {
            $0.zone = "a"
            $0.hostZones = ["db0:5432": "a"]
            $0.hostWeights = ["db0:5432": 0.001]
        }
        #expect(rig.counts(Self.reads) == [3_000, 0])
        let unwanted = try Rig([.replica, .replica]) {
            $0.zone = "a"
            $0.hostZones = ["db0:5432": "a"]
            $0.hostWeights = ["db0:5432": 0]
        }
        #expect(unwanted.counts(Self.reads) == [0, 3_000])
    }

    private struct Odd: BalancingPolicy {
        let choice: Int?

        func choose(
            among candidates: [BalancingCandidate],
            for services: ServiceClass,
            random: () -> Double
        ) -> Int? {
            choice
        }
    }

    @Test(arguments: [nil, -1, 2, .max, .min])
    func aChoiceOutOfRangeLeavesItToThePool(_ choice: Int?) throws {
        let rig = try Rig([.replica, .replica]) { $0.balancing = Odd(choice: choice) }
        #expect(rig.counts(Self.reads) == [0, 0])
    }

    @Test func aPolicySeesWhatIsKnownOfTheHosts() throws {
        let rig = try Rig([.replica, .replica]) {
            $0.hostWeights = ["db1:5432": 5]
            $0.hostZones = ["db1:5432": "b"]
            $0.balancing = WeightedBalancing(measuresUse: true) { candidate in
                guard candidate.free == 10, candidate.serves == .replica else { return .nan }
                if candidate.host == "db0:5432" { return candidate.inUse == 0 ? 0 : 1 }
                let isKnown = candidate.zone == "b" && candidate.weight == 5 && candidate.medianCheck == .seconds(1)
                return isKnown && candidate.inUse == 1 ? 1 : .nan
            }
        }
        rig.router.note(median: .seconds(1), of: rig.members[1])
        let use = rig.router.begin(on: rig.members[1])
        #expect(rig.counts(Self.reads) == [0, 3_000])
        use?.end()
    }

    // MARK: - Slow start

    @Test func theRouterLooksOnlyWhileAHostIsWarmingUp() throws {
        let clock = ManualClock()
        let rig = try Rig([.replica, .replica, .replica], clock: clock) { _ in }
        #expect(rig.router.isNeutral)
        var cold = SlowStart()
        cold.cool()
        rig.router.note([SlowStart(), cold])
        #expect(rig.router.isNeutral, "one that is out is not warming up")
        cold.begin(at: clock.now)
        rig.router.note([SlowStart(), cold])
        #expect(!rig.router.isNeutral)
        // A third of the reads, a tenth of the time.
        #expect(chiSquare(rig.counts(Self.reads, times: 6_000), [14.5, 1, 14.5]) < 13.8)
        clock.advance(by: .seconds(5))
        #expect(chiSquare(rig.counts(Self.reads, times: 6_000), [2.45, 1.1, 2.45]) < 13.8)
        clock.advance(by: .seconds(5))
        _ = rig.counts(Self.reads, times: 1)
        #expect(rig.router.isNeutral)
    }

    // MARK: - Targets

    @Test(arguments: [
        ("any", [true, true, true]), ("read-write", [true, false, false]), ("read-only", [false, true, true]),
        ("primary", [true, false, true]), ("standby", [false, true, false]),
    ])
    func theTargetsAreThoseOfLibpq(_ name: String, _ serves: [Bool]) throws {
        let target = try #require(HostTarget(targetSessionAttributes: name))
        let roles: [ServiceClass] = [.primary, .replica, .readOnlyPrimary]
        #expect(target.services.steps.count == 1)
        #expect(roles.map { target.services.all.contains($0) } == serves)
    }

    @Test func aChainNamesEachKindOfHostOnce() {
        #expect(HostTarget(targetSessionAttributes: "prefer-standby") == .preferStandby)
        #expect(HostTarget(targetSessionAttributes: "primary ") == nil)
        #expect(HostTarget.preferStandby.services.steps == [.replica, [.primary, .readOnlyPrimary]])
        let chain: HostTarget = [.standby, .primary, .any, .readWrite]
        #expect(chain == .preferStandby)
        let request = AcquireRequest([.standby, .readOnly, .readWrite] as HostTarget)
        #expect((request.wants, request.fallback) == (.replica, .readOnlyPrimary))
        #expect(request.further.steps == [.primary])
        #expect(request.accepted == [.primary, .reads])
    }
}
