// SPDX-License-Identifier: Apache-2.0
import Posthouse

/// Tells what happens during a load: a line each, for people or for programs.
struct LoadReport: Sendable {
    let json: Bool
    private let start = ContinuousClock.now

    init(json: Bool) {
        self.json = json
    }

    func tell(_ event: ClusterEvent) {
        let text: String
        switch event.kind {
        case .roleChanged(let from, let to):
            text = "\(event.host): \(from.rawValue) -> \(to.rawValue)"
            if json {
                put([
                    "event": "role_change", "host": .string(event.host), "from": .string(from.rawValue),
                    "to": .string(to.rawValue), "reason": .optional(event.reason),
                ])
            }
        case .stateChanged(let from, let to):
            text = "\(event.host): \(from.rawValue) -> \(to.rawValue)"
            if json {
                put([
                    "event": "state_change", "host": .string(event.host), "from": .string(from.rawValue),
                    "to": .string(to.rawValue), "reason": .optional(event.reason),
                ])
            }
        case .primaryElected(let timeline, let gap):
            let since = gap.map { ", \($0.milliseconds) ms after the last one" } ?? ""
            text = "\(event.host) is the primary\(timeline.map { " on timeline \($0)" } ?? "")\(since)"
            if json {
                put([
                    "event": "primary_elected", "host": .string(event.host),
                    "timeline": timeline.map { .integer(Int64($0)) } ?? nil,
                    "gap_ms": gap.map(JSONValue.milliseconds) ?? nil,
                ])
            }
        default: return
        }
        if !json { Console.remark(text + (event.reason.map { " (\($0))" } ?? "")) }
    }

    func tellOutage(_ gap: Duration) {
        if json {
            put(["event": "outage", "duration_ms": .milliseconds(gap)])
        } else {
            Console.remark("no statement succeeded for \(gap.milliseconds) ms")
        }
    }

    func tell(_ summary: LoadRun.Summary) {
        if json {
            put(Self.members(of: summary))
            return
        }
        var table = TextTable("SUCCEEDED", "FAILED", "PER SECOND", "P50", "P99", "P99.9", "LONGEST OUTAGE")
        func text(_ duration: Duration?) -> String { duration.map { "\($0.milliseconds) ms" } ?? "-" }
        table.append(
            String(summary.ok),
            String(summary.errors),
            String(Int(summary.operationsPerSecond)),
            text(summary.latency.quantile(0.5)),
            text(summary.latency.quantile(0.99)),
            text(summary.latency.quantile(0.999)),
            text(summary.longestOutage)
        )
        Console.output(table.description)
        for (code, count) in summary.errorsByCode.sorted(by: { $0.key < $1.key }) {
            Console.output("\(count) x \(code)")
        }
    }

    /// The members of a summary line.
    static func members(of summary: LoadRun.Summary) -> [String: JSONValue] {
        func milliseconds(_ share: Double) -> JSONValue {
            summary.latency.quantile(share).map(JSONValue.milliseconds) ?? nil
        }
        return [
            "event": "summary",
            "ok": .integer(Int64(summary.ok)),
            "errors": .integer(Int64(summary.errors)),
            "ops_per_second": .number((summary.operationsPerSecond * 10).rounded() / 10),
            "p50_ms": milliseconds(0.5),
            "p99_ms": milliseconds(0.99),
            "p999_ms": milliseconds(0.999),
            "longest_outage_ms": .milliseconds(summary.longestOutage),
            "errors_by_code": .object(summary.errorsByCode.mapValues { .integer(Int64($0)) }),
        ]
    }

    private func put(_ members: [String: JSONValue]) {
        Console.output(JSONValue.document(members.merging(["at_ms": .milliseconds(start.duration(to: .now))]) { $1 }))
    }
}
