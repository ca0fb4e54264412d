// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

extension PoolResults {
    /// For a terminal.
    var report: String {
        let holdReports = [holdReport] + Contender.peers.compactMap(holdReport)
        return ([hitReport, sizeReport] + holdReports + [spikeReport, ownReport, notes]).map {
            $0.joined(separator: "\n")
        }.joined(separator: "\n\n")
    }

    private var hitReport: [String] {
        let peers = Contender.peers.filter { peer in hits.contains { $0.contender == peer } }
        var rows = [
            ["callers", "acquire+release", "in CAS pairs", "contended", "withConnection"]
                + peers.map { "\($0.name) / ours" }
        ]
        for callers in Extent.hitCallers {
            let those = hits.filter { $0.callers == callers }
            let ours = those.first { $0.contender == .posthouse && $0.shape == Question.Kind.hit.rawValue }
            let scoped = those.first { $0.contender == .posthouse && $0.shape == Question.Kind.scoped.rawValue }
            let ratios = peers.map { peer in those.first { $0.contender == peer }?.toOurs.text(2) ?? "-" }
            rows.append(
                [
                    "\(callers)", ours.map { "\($0.nanoseconds.text(0)) ns" } ?? "-", ours?.inPairsAlone.text(1) ?? "-",
                    ours?.inPairs.text(1) ?? "-", scoped?.toOurs.text(2) ?? "-",
                ] + ratios
            )
        }
        let counted = ours.allocations
        let priced = ours.priced
        return ["Idle hits, pool of \(Extent.hitPool): time for one, all callers together"] + TextTable(rows).lines + [
            "in CAS pairs: of a pair of compare-exchanges on one word, by one caller alone; contended: by as many callers",
            "withConnection: to acquire+release; / ours: above 1 the peer takes longer",
            "one caller while nobody else uses the core: \(priced.nanoseconds.text(0)) ns, \(priced.pairs.text(1)) pairs "
                + "(\((100 * priced.undisturbed).text(0))% of all slices; over all of them \(priced.pairsDisturbed.text(1)))",
            "blocks allocated in \(counted.hits) hits: \(counted.acquireRelease) by acquire+release, "
                + "\(counted.withConnection) by withConnection",
        ]
    }

    private var sizeReport: [String] {
        [
            "A hit in a pool of 512, to one in a pool of 64: \(sizes.idle.text(2)); "
                + "while 448 are leased: \(sizes.amongLeased.text(2))"
        ]
            + bursts.map { burst in
                let who = burst.tasks == 1 ? "1 task, one after the other" : "\(burst.tasks) parallel tasks"
                return "1000 leases and releases by \(who), pool of 50: \(burst.microseconds.text(0)) us"
            } + ["(the shapes of postgres-nio's pool benchmark, which is not installed here: only our figures)"]
    }

    private var holdReport: [String] {
        var rows = [["pool", "callers", "leases/s", "p50 us", "p99 us", "p99.9 us", "fairness"]]
        for hold in holds where hold.contender == .posthouse {
            rows.append([
                "\(hold.pool)", "\(hold.callers)", hold.perSecond.text(0), hold.p50.text(1), hold.p99.text(1),
                hold.p999.text(1), hold.fairness.text(2),
            ])
        }
        return ["Held for one yield: ours. Time until the connection is there; fairness: slowest caller / fastest"]
            + TextTable(rows).lines
    }

    private func holdReport(against peer: Contender) -> [String]? {
        let those = holds.filter { $0.contender == peer }
        guard !those.isEmpty else { return nil }
        var rows = [
            ["pool", "callers", "throughput / ours", "p99 / ours", "p99.9 / ours"]
                + ["p50 us", "p99 us", "p99.9 us", "fairness"]
        ]
        for hold in those {
            rows.append([
                "\(hold.pool)", "\(hold.callers)", hold.throughputToOurs.text(2), hold.p99ToOurs.text(2),
                hold.p999ToOurs.text(2),
                hold.p50.text(1), hold.p99.text(1), hold.p999.text(1), hold.fairness.text(2),
            ])
        }
        return ["Held for one yield: \(peer.name), \(peer.callers)"] + TextTable(rows).lines + [
            "a fairness near 0: some callers got next to nothing, and low percentiles tell of the others; "
                + "waits are cut off at the end of the measurement"
        ]
    }

    private var spikeReport: [String] {
        var rows = [["", "connections opened", "all served after ms"]]
        for spike in spikes { rows.append([spike.contender.name, spike.opened.text(0), spike.milliseconds.text(1)]) }
        return [
            "Spike: 50 callers at once with 2 ms of work; a connect takes 150 ms; 5 connections idle, at most 50"
        ] + TextTable(rows).lines
    }

    private var ownReport: [String] {
        let away = ours.outage
        let left = ours.cancelled
        let waiting = ours.waiting
        return [
            "Server away for \(away.seconds.text(0)) s (virtual time), \(away.waiters) callers wait: "
                + "\(away.attemptsWhileAway) connects tried, at most \(away.mostConnecting) at once "
                + "(limit \(away.limitConnecting)); memory \(growth(away.residentBytes, away.grownBytes))",
            "  back: first grant after \(away.firstGrantSeconds.text(2)) s "
                + "(longest back-off step \(away.longestStepSeconds.text(0)) s), all served after "
                + "\(away.allServedSeconds.text(2)) s, at most \(away.mostConnectingWhenBack) connects at once",
            "\(left.requests) cancelled waiters: memory \(growth(left.residentBytes, left.grownBytes)); "
                + "\(left.nanosecondsEach.text(0)) ns each, task included",
            "\(waiting.callers) waiting callers: \(waiting.bytesEach.text(0)) bytes each; a bare task that waits: "
                + "\(waiting.bytesTask.text(0)); the difference is the pool's",
        ]
    }

    private var notes: [String] {
        missing.map { "missing: \($0.id) (\($0.reason))" }
            + Contender.allCases.filter { one in hits.contains { $0.contender == one } }.map {
                "\([$0.name, versions[$0.name]].compactMap(\.self).joined(separator: " ")): callers are \($0.callers)"
            } + [
                "medians of \(rounds) interleaved rounds, of holding \(holdRounds) of \(holdSeconds.text(2)) s; "
                    + "ratios are taken within each round",
                "all connections are stubs: this measures pools, not databases; and while callers find connections idle, "
                    + "holding one for a yield measures each language's yield more than its pool",
                machine.summary + "; so few cores say nothing about many",
            ]
    }

    private func growth(_ before: Int, _ grown: Int) -> String {
        "from \((Double(before) / 1_048_576).text(1)) to \((Double(before + grown) / 1_048_576).text(1)) MiB"
    }
}

extension Double? {
    fileprivate func text(_ digits: Int) -> String { map { $0.text(digits) } ?? "-" }
}
