// SPDX-License-Identifier: Apache-2.0

/// The response times of the last checks of one host.
struct Stopwatch: Sendable {
    private let window: Int
    private var times: [Duration] = []
    private var next = 0
    private(set) var last: Duration?

    init(window: Int) {
        self.window = window
    }

    mutating func record(_ time: Duration) {
        last = time
        if times.count < window {
            times.append(time)
        } else {
            times[next] = time
            next = (next + 1) % window
        }
    }

    /// The middle one, or the upper of the middle two. Sorts the window.
    var median: Duration? {
        times.isEmpty ? nil : times.sorted()[times.count / 2]
    }
}
