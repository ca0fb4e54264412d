// SPDX-License-Identifier: Apache-2.0

/// The response times of the last checks of one host.
struct Stopwatch: Sendable {
    private let window: Int
    private var times: [Duration] = []
    private var next = 0
    private(set) var last: Duration?
    /// The middle one, or the upper of the middle two. Kept, because each request that fails reports it: ten thousand that
    /// time out together would sort the window as often.
    private(set) var median: Duration?

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
        median = times.sorted()[times.count / 2]
    }
}
