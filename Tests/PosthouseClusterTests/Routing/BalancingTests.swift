// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Each policy by itself: whom it chooses, and how often.
@Suite struct BalancingTests {
    private static let reads = ServiceClass.reads

    private func hosts(_ count: Int) -> [BalancingCandidate] {
        (0..<count).map { BalancingCandidate(host: "db\($0):5432") }
    }

    /// How often each of the candidates is chosen.
    private func counts(
        _ policy: some BalancingPolicy,
        _ candidates: [BalancingCandidate],
        times: Int = 6_000,
        seed: UInt64 = 1
    ) -> [Int] {
        let random = SeededRandom(seed)
        var counts = candidates.map { _ in 0 }
        for _ in 0..<times {
            guard let choice = policy.choose(among: candidates, for: Self.reads, random: random.next) else { continue }
            counts[choice] += 1
        }
        return counts
    }

    // MARK: - Greedy

    @Test func theGreedyOneChoosesTheMostFreeHost() {
        var candidates = hosts(3)
        for (index, free) in [2, 5, 4].enumerated() { candidates[index].free = free }
        #expect(counts(.greedy, candidates) == [0, 6_000, 0])
        candidates[2].weight = 2
        #expect(counts(.greedy, candidates) == [0, 0, 6_000], "4 times 2")
    }

    @Test func amongEquallyFreeHostsChanceDecides() {
        var candidates = hosts(4)
        for index in 0..<3 { candidates[index].free = 7 }
        let counts = counts(.greedy, candidates)
        #expect(counts[3] == 0)
        #expect(chiSquare(Array(counts[..<3]), [1, 1, 1]) < 13.8)
        #expect(chiSquare(self.counts(.greedy, hosts(3)), [1, 1, 1]) < 13.8, "all are in use")
    }

    // MARK: - Random weighted

    private func withMedians(_ medians: [Duration?]) -> [BalancingCandidate] {
        zip(hosts(medians.count), medians).map { host, median in
            var host = host
            host.medianCheck = median
            return host
        }
    }

    @Test func aHostThatAnswersInHalfTheTimeIsChosenTwiceAsOften() {
        let candidates = withMedians([.milliseconds(10), .milliseconds(20), .milliseconds(40)])
        for seed in 1...5 as ClosedRange<UInt64> {
            #expect(chiSquare(counts(.randomWeighted, candidates, seed: seed), [4, 2, 1]) < 13.8)
        }
    }

    @Test func theOrderOfTheHostsChangesNothing() {
        let candidates = withMedians([.milliseconds(40), .milliseconds(20), .milliseconds(10)])
        #expect(chiSquare(counts(.randomWeighted, candidates), [1, 2, 4]) < 13.8)
    }

    @Test(arguments: [nil, Duration.zero, .seconds(-1)])
    func oneHostWithoutAUsableMedianMakesAllEqual(_ median: Duration?) {
        let candidates = withMedians([.milliseconds(1), median, .milliseconds(1000)])
        #expect(chiSquare(counts(.randomWeighted, candidates), [1, 1, 1]) < 13.8)
    }

    @Test func weightsMultiplyTheShares() {
        var candidates = withMedians([.milliseconds(10), .milliseconds(20)])
        candidates[1].weight = 6
        #expect(chiSquare(counts(.randomWeighted, candidates), [1, 3]) < 10.8)
    }

    // MARK: - A user's own

    @Test(arguments: [Double.nan, .infinity, -.infinity, -1])
    func aShareThatMakesNoSenseLeavesItToTheWeights(_ share: Double) {
        var candidates = hosts(3)
        candidates[2].weight = 2
        let policy = WeightedBalancing { $0.host == "db1:5432" ? share : 1000 }
        #expect(chiSquare(counts(policy, candidates), [1, 1, 2]) < 13.8)
    }

    @Test func sharesThatAreAllZeroLeaveItToTheWeights() {
        #expect(chiSquare(counts(WeightedBalancing { _ in 0 }, hosts(3)), [1, 1, 1]) < 13.8)
    }

    @Test func sharesOfAnySizeCanBeCompared() {
        let most = Double.greatestFiniteMagnitude
        let policy = WeightedBalancing { $0.host == "db0:5432" ? most : most / 3 }
        #expect(chiSquare(counts(policy, hosts(2)), [3, 1]) < 10.8)
    }

    @Test(arguments: [0, 0.5, 1])
    func whoHasNoShareIsNeverDrawnWhateverTheDraw(_ draw: Double) {
        #expect(WeightedBalancing.draw([0, 1, 0], random: { draw }) == 1)
        #expect(WeightedBalancing.uniform(3, random: { draw }).map { (0..<3).contains($0) } == true)
        #expect(WeightedBalancing.draw([], random: { draw }) == nil)
    }

    // MARK: - Round robin

    /// Whom it chooses in turn.
    private func turns(_ policy: RoundRobinBalancing, _ candidates: [BalancingCandidate], _ count: Int) -> [String] {
        (0..<count).compactMap { _ in
            policy.choose(among: candidates, for: Self.reads, random: { 0.5 }).map { candidates[$0].host }
        }
    }

    @Test func theHostsTakeTurns() {
        let turns = turns(RoundRobinBalancing(), hosts(3), 300)
        for start in 0..<298 { #expect(Set(turns[start..<start + 3]).count == 3) }
    }

    @Test func theTurnsOfAHostThatIsDownAreNobodysInParticular() {
        let policy = RoundRobinBalancing()
        let all = hosts(4)
        _ = turns(policy, all, 6)
        let left = [all[0], all[2], all[3]]
        let turns = turns(policy, left, 300)
        for host in left { #expect(turns.count { $0 == host.host } == 100) }
        for start in 0..<298 { #expect(Set(turns[start..<start + 3]).count == 3) }
    }

    @Test func aHostThatComesBackMakesUpForNothing() {
        let policy = RoundRobinBalancing()
        let all = hosts(3)
        _ = turns(policy, Array(all[..<2]), 1_000)
        let after = turns(policy, all, 300)
        for host in all { #expect((99...101).contains(after.count { $0 == host.host })) }
        #expect(after.prefix(6).count { $0 == all[2].host } == 2)
    }

    @Test func hostsThatComeAndGoAllTheTimeAreFairToEachOther() {
        let policy = RoundRobinBalancing()
        let all = hosts(4)
        let random = SeededRandom(3)
        var taken: [String: Int] = [:]
        // The first two are always there.
        for _ in 0..<4_000 {
            let there = all[..<2] + all[2...].filter { _ in random.next() < 0.5 }
            for host in turns(policy, Array(there), 1) { taken[host, default: 0] += 1 }
        }
        #expect(abs(taken[all[0].host, default: 0] - taken[all[1].host, default: 0]) <= 1)
    }

    @Test func turnsFollowTheWeights() {
        var candidates = hosts(3)
        candidates[0].weight = 3
        candidates[1].weight = 2
        let turns = turns(RoundRobinBalancing(), candidates, 600)
        #expect(candidates.map { host in turns.count { $0 == host.host } } == [300, 200, 100])
    }

    @Test func differentWishesAreCountedApart() {
        let policy = RoundRobinBalancing()
        let all = hosts(3)
        var anywhere: [Int] = []
        for _ in 0..<30 {
            for _ in 0..<5 { _ = turns(policy, Array(all[1...]), 1) }
            anywhere += [policy.choose(among: all, for: .primary, random: { 0 })].compactMap { $0 }
        }
        #expect((0..<3).map { index in anywhere.count { $0 == index } } == [10, 10, 10])
    }

    // MARK: - Least load

    private func used(_ average: Duration?, _ inUse: Int, weight: Double = 1, _ index: Int) -> BalancingCandidate {
        BalancingCandidate(host: "db\(index):5432", weight: weight, averageUse: average, inUse: inUse)
    }

    /// So many that what one choice of 32 does shows: it takes the first that is drawn, which in half of them is the loser.
    private func leastLoad(_ candidates: [BalancingCandidate]) -> [Int] {
        counts(.leastLoad, candidates, times: 36_000)
    }

    /// Of two it gets what measuring it again takes, and no more.
    private func loses(_ loser: Int, _ candidates: [BalancingCandidate]) -> Bool {
        chiSquare(leastLoad(candidates), loser == 0 ? [1, 63] : [63, 1]) < 10.8
    }

    @Test func theMostLoadedHostIsChosenOnlyToBeMeasuredAgain() {
        let candidates = [used(.milliseconds(1), 3, 0), used(.milliseconds(9), 0, 1), used(.milliseconds(2), 0, 2)]
        // The least loaded one wins in two of three pairs, the most loaded one in none.
        #expect(chiSquare(leastLoad(candidates), [32, 1, 63]) < 13.8)
    }

    @Test func equallyLoadedHostsGetAsMuch() {
        let candidates = (0..<4).map { used(.milliseconds(5), 2, $0) }
        #expect(chiSquare(leastLoad(candidates), [1, 1, 1, 1]) < 16.3)
    }

    @Test func aHostThatHangsIsLeftAsItsConnectionsDoNotComeBack() {
        #expect(loses(0, [used(.milliseconds(1), 50, 0), used(.milliseconds(20), 1, 1)]))
    }

    @Test func aHostThatNobodyHasUsedYetIsNotOverrun() {
        #expect(loses(1, [used(.milliseconds(5), 2, 0), used(nil, 3, 1)]))
        #expect(chiSquare(leastLoad([used(nil, 0, 0), used(nil, 0, 1)]), [1, 1]) < 10.8)
    }

    @Test func aHeavierHostBearsMore() {
        #expect(loses(1, [used(.milliseconds(5), 5, weight: 4, 0), used(.milliseconds(5), 1, 1)]))
    }

    @Test func whatStatementsTakeCountsAndNotHowLongConnectionsAreUsed() {
        var candidates = [used(.milliseconds(90), 2, 0), used(.milliseconds(1), 2, 1)]
        candidates[0].averageResponse = .milliseconds(1)
        candidates[1].averageResponse = .milliseconds(2)
        #expect(loses(1, candidates))
        candidates[1].averageResponse = nil
        candidates[1].inUse = 3
        #expect(loses(1, candidates), "one that is not measured is taken for as fast")
    }

    // MARK: - Slow start

    /// Of four hosts the last one is warming up.
    private func warming(_ share: Double) -> [BalancingCandidate] {
        var candidates = hosts(4)
        candidates[3].slowStart = share
        return candidates
    }

    @Test(arguments: [0.1, 0.5, 0.9])
    func aHostThatIsWarmingUpIsLeftOutInProportion(share: Double) {
        let (less, more) = (share / 4, share / 4 + (1 - share) / 3)
        let compared = [more, more, more, less]
        #expect(chiSquare(counts(.greedy, warming(share)), compared) < 16.3)
        #expect(chiSquare(counts(.leastLoad, warming(share), seed: 2), compared) < 16.3)
        #expect(chiSquare(counts(WeightedBalancing { _ in 1 }, warming(share)), [1, 1, 1, share]) < 16.3)
        #expect(chiSquare(counts(.randomWeighted, warming(share)), [1, 1, 1, share]) < 16.3, "nothing is measured")
    }

    @Test func theMostFreeHostDoesNotGetAllWhileItIsWarmingUp() {
        var candidates = warming(0.1)
        candidates[3].free = 10
        #expect(chiSquare(counts(.greedy, candidates), [3, 3, 3, 1]) < 16.3)
    }

    @Test func hostsThatAreAllAsColdShareEvenly() {
        var candidates = hosts(3)
        for index in 0..<3 { candidates[index].slowStart = 0.1 }
        for counts in [counts(.greedy, candidates), counts(.leastLoad, candidates)] {
            #expect(chiSquare(counts, [1, 1, 1]) < 13.8)
        }
        #expect(turns(RoundRobinBalancing(), candidates, 300).count { $0 == "db1:5432" } == 100)
    }

    @Test func turnsOfAHostThatIsWarmingUpAreFewerAndTheOthersStayFair() {
        for share in [0.1, 0.25, 0.5] {
            let all = warming(share)
            let turns = turns(RoundRobinBalancing(), all, Int(100 * (3 + share)))
            let taken = all.map { host in turns.count { $0 == host.host } }
            #expect(Set(taken[..<3]).count == 1)
            #expect(abs(taken[3] - Int(100 * share)) <= 1)
        }
    }

    @Test func turnsGrowWithTheWarmthAndNothingIsOwedInTheEnd() {
        let policy = RoundRobinBalancing()
        _ = turns(policy, Array(hosts(4)[..<3]), 31)
        _ = turns(policy, warming(0.1), 4)
        let after = turns(policy, hosts(4), 400)
        for host in hosts(4) { #expect((98...102).contains(after.count { $0 == host.host })) }
    }

    @Test func whileOthersAreDownTurnsAreExactlyFairBesideAHostThatIsWarmingUp() {
        let policy = RoundRobinBalancing()
        let all = warming(0.2)
        let random = SeededRandom(3)
        var taken: [String: Int] = [:]
        for _ in 0..<4_000 {
            let there = all[..<2] + all[2...].filter { _ in random.next() < 0.5 }
            for host in turns(policy, Array(there), 1) { taken[host, default: 0] += 1 }
        }
        #expect(abs(taken[all[0].host, default: 0] - taken[all[1].host, default: 0]) <= 1)
    }

    // MARK: - What is measured

    @Test func theAverageFollowsTheLastUses() {
        let gauge = HostGauge()
        #expect(gauge.averageUse == nil)
        gauge.begin()
        gauge.begin()
        #expect(gauge.inUse == 2)
        gauge.end(after: .milliseconds(100))
        #expect(gauge.averageUse == .milliseconds(100))
        gauge.end(after: .milliseconds(200))
        #expect(gauge.averageUse.map { abs($0 / .milliseconds(120) - 1) < 0.001 } == true)
        for _ in 0..<50 {
            gauge.begin()
            gauge.end(after: .milliseconds(10))
        }
        #expect(gauge.averageUse.map { abs($0 / .milliseconds(10) - 1) < 0.01 } == true)
        #expect(gauge.inUse == 0)
    }

    @Test func aUseThatIsForgottenEndsByItselfAndOnce() {
        let gauge = HostGauge()
        do {
            let use = HostUse(of: gauge, clock: RealTime())
            #expect(gauge.inUse == 1)
            use.end()
            #expect(gauge.inUse == 0)
        }
        do { _ = HostUse(of: gauge, clock: RealTime()) }
        #expect(gauge.inUse == 0)
    }
}
