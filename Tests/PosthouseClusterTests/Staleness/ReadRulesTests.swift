// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

@Suite struct ReadRulesTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    private func replica(_ seconds: Double?) -> ReadRules.Host {
        let lag = seconds.map { ReplicaLag(bytes: UInt64($0 * 1000), time: .seconds($0)) }
        return ReadRules.Host(isPrimary: false, isReplica: true, lag: lag)
    }

    private let primary = ReadRules.Host(isPrimary: true, isReplica: false, lag: nil)
    private let absent = ReadRules.Host(isPrimary: false, isReplica: false, lag: nil)

    private func rule(
        _ limit: LagLimit,
        fallbackPrimary: Bool = false,
        usesStaleReplicas: Bool = false
    ) -> ReadRule {
        ReadRule(limit: limit, fallbackPrimary: fallbackPrimary, usesStaleReplicas: usesStaleReplicas)
    }

    @Test func onlyReplicasWithinTheLimitServe() {
        var rules = ReadRules()
        let hosts = [primary, replica(1), replica(3), replica(nil)]
        #expect(rules.use(rule(.time(.seconds(2))), hosts: hosts, now: start).hosts == [1])
        #expect(rules.use(rule(.bytes(3000)), hosts: hosts, now: start).hosts == [1, 2])
        #expect(rules.use(rule(LagLimit(bytes: 3000, time: .seconds(2))), hosts: hosts, now: start).hosts == [1])
        #expect(rules.use(rule(LagLimit()), hosts: hosts, now: start).hosts == [1, 2])
    }

    @Test func thePrimaryIsTheFallbackAndStaleReplicasTheLastOne() {
        var rules = ReadRules()
        let late = [primary, replica(3)]
        let both = rule(.time(.seconds(2)), fallbackPrimary: true, usesStaleReplicas: true)
        let stale = rule(.time(.seconds(2)), usesStaleReplicas: true)
        #expect(rules.use(rule(.time(.seconds(2))), hosts: late, now: start).hosts == [])
        #expect(rules.use(both, hosts: late, now: start).hosts == [0])
        #expect(rules.use(stale, hosts: late, now: start).hosts == [1])
        let changed = rules.reconsider([absent, replica(3)], now: start)
        #expect(changed.map(\.hosts) == [[1]])
    }

    @Test func aStaleReplicaComesBackAtThreeQuartersOfTheLimit() {
        var rules = ReadRules()
        let number = rules.use(rule(.time(.seconds(4))), hosts: [replica(1)], now: start).number
        #expect(rules.reconsider([replica(4)], now: at(1)).isEmpty)
        #expect(rules.reconsider([replica(4.1)], now: at(2)).map(\.hosts) == [[]])
        #expect(rules.reconsider([replica(3.9)], now: at(3)).isEmpty)
        let back = rules.reconsider([replica(3)], now: at(4))
        #expect(back.map(\.number) == [number] && back.map(\.hosts) == [[0]])
    }

    @Test func withinTheGracePeriodALateReplicaGoesOnServing() {
        var rules = ReadRules()
        let limit = LagLimit(time: .seconds(2), gracePeriod: .seconds(10))
        _ = rules.use(rule(limit), hosts: [replica(1)], now: start)
        #expect(rules.reconsider([replica(5)], now: at(1)).isEmpty)
        #expect(rules.reconsider([replica(1)], now: at(9)).isEmpty)
        // The grace begins anew.
        #expect(rules.reconsider([replica(5)], now: at(12)).isEmpty)
        #expect(rules.reconsider([replica(5)], now: at(21.9)).isEmpty)
        #expect(rules.reconsider([replica(5)], now: at(22)).map(\.hosts) == [[]])
    }

    @Test func aReplicaThatWasGoneBeginsAnew() {
        var rules = ReadRules()
        _ = rules.use(rule(.time(.seconds(4))), hosts: [replica(5)], now: start)
        _ = rules.reconsider([absent], now: at(1))
        // Not three quarters of the limit, but it is no longer the one that was late.
        #expect(rules.reconsider([replica(3.9)], now: at(2)).map(\.hosts) == [[0]])
    }

    @Test func hostsThatComeLaterAreJudgedToo() {
        var rules = ReadRules()
        _ = rules.use(rule(.time(.seconds(4))), hosts: [], now: start)
        #expect(rules.reconsider([replica(1), replica(9)], now: at(1)).map(\.hosts) == [[0]])
    }

    @Test func rulesThatNobodyUsesAreGivenUpWhenThereAreMany() {
        var rules = ReadRules()
        for number in 0..<ReadRules.kept {
            let used = rules.use(rule(.bytes(UInt64(number))), hosts: [], now: at(Double(number)))
            #expect(used.gone.isEmpty)
            if number != 3 { rules.endUse(used.number) }
        }
        #expect(rules.use(rule(.bytes(0)), hosts: [], now: at(100)).number == 0)
        rules.endUse(0)
        // The one that was not used for the longest time; not the one in use.
        #expect(rules.use(rule(.bytes(1000)), hosts: [], now: at(101)).gone == [1])
        #expect(rules.use(rule(.bytes(1001)), hosts: [], now: at(102)).gone == [2])
        #expect(rules.use(rule(.bytes(1002)), hosts: [], now: at(103)).gone == [4])
    }
}
