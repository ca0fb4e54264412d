// SPDX-License-Identifier: Apache-2.0

extension Scenario {
    /// The scenario with few faults of which it still fails: without any one of them it does not.
    ///
    /// - Parameter fails: Whether a scenario fails, found out by running it. (Zeller, Hildebrandt: "Simplifying and isolating
    ///   failure-inducing input", 2002.)
    public func shrunk(_ fails: (Scenario) -> Bool) -> Scenario {
        var smallest = self
        var parts = 2
        while smallest.faults.count > 1 || parts == 1 {
            let size = max(1, (smallest.faults.count + parts - 1) / parts)
            var hasShrunk = false
            var start = 0
            while start < smallest.faults.count {
                var candidate = smallest
                candidate.faults.removeSubrange(start..<min(start + size, candidate.faults.count))
                if fails(candidate) {
                    smallest = candidate
                    hasShrunk = true
                } else {
                    start += size
                }
            }
            if hasShrunk {
                parts = max(2, parts - 1)
            } else if size == 1 {
                break
            } else {
                parts *= 2
            }
        }
        return smallest
    }
}
