// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import Synchronization

/// A session of this process with a simulated server.
public final class SimulatedConnection: Sendable {
    /// Its place among the sessions that are open.
    let index: Int
    let address: Int
    let host: Int
    let observer: any ConnectionObserver
    private let broken = Atomic(false)
    private let answered = Atomic<UInt64>(0)

    init(index: Int, address: Int, host: Int, observer: any ConnectionObserver) {
        self.index = index
        self.address = address
        self.host = host
        self.observer = observer
    }

    /// Whether nothing more can be asked through it.
    var isBroken: Bool { broken.load(ordering: .relaxed) }

    /// How many statements of users the server has answered on it.
    var answers: UInt64 { answered.load(ordering: .relaxed) }

    func noteAnswer() { answered.wrappingAdd(1, ordering: .relaxed) }

    func breakDown() { broken.store(true, ordering: .relaxed) }
}
