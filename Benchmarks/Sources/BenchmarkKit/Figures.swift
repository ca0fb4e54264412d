// SPDX-License-Identifier: Apache-2.0

import Foundation

extension Array where Element == Double {
    /// The middle one, or the mean of the middle two; `nan` of none.
    package var median: Double {
        guard !isEmpty else { return .nan }
        let sorted = sorted()
        let middle = count / 2
        return count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}

extension Double {
    /// With so many digits after the point.
    package func rounded(to digits: Int) -> Double {
        var factor = 1.0
        for _ in 0..<digits { factor *= 10 }
        return (self * factor).rounded() / factor
    }

    /// With exactly so many digits after the point.
    package func text(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}
