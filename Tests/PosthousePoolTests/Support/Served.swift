// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// Who was served, in what order.
final class Served: Sendable {
    private let list = Guarded<[Int]>([])

    var order: [Int] { list.withLock { $0 } }

    func note(_ index: Int) { list.withLock { $0.append(index) } }
}
