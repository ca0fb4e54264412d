// SPDX-License-Identifier: Apache-2.0

/// Measured times, all of them: an average would hide the one that hurts.
struct Distribution: CustomStringConvertible {
    private let name: String
    private let times: [Duration]

    init(of name: String, _ times: [Duration]) {
        self.name = name
        self.times = times.sorted()
    }

    var description: String {
        guard let worst = times.last else { return "\(name): nothing measured" }
        let all = times.map { "\($0.milliseconds)" }.joined(separator: " ")
        return "\(name), \(times.count) times: median \(times[times.count / 2].milliseconds) ms, worst "
            + "\(worst.milliseconds) ms; all, in ms: \(all)"
    }
}
