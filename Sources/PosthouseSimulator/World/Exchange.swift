// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

/// A question on its way to a server, and the answer on its way back.
///
/// | phase      | what it waits for |
/// |------------|-------------------|
/// | free       | to be used again |
/// | outbound   | the moment at which it arrives at the server |
/// | stuck      | the network to be mended, there or back |
/// | queued     | the frozen server to go on |
/// | committing | a synchronous replica |
/// | inbound    | the moment at which the answer arrives |
struct Exchange {
    enum Request {
        case connect(ConnectionPurpose)
        case probe
        case ping
        case insert(UInt64, leasedAt: Int64)
        case read(leasedAt: Int64)
    }

    enum Phase {
        case free
        case outbound
        case stuckOutbound
        case queued
        case committing
        case inbound(Answer)
        case stuckInbound(Answer)
    }

    var phase = Phase.free
    var request = Request.probe
    /// The server.
    var host = 0
    /// The address that it was reached by.
    var address = 0
    /// The run of the server that the session belongs to.
    var incarnation: Int64 = 0
    var began: Int64 = 0
    /// The session that asks; nil for a connect.
    var session: Int?
    var deadline = Int64.max
    /// Which step of the exchange is on the agenda, over all uses of this place.
    var step: UInt32 = 0
    /// Which use of this place it is.
    var use: UInt32 = 0
    var hasAlarm = false
    /// Nobody waits for the answer any more. The server does not know.
    var isOrphan = false
    /// Came before anybody waited for it.
    var answer: Answer?
    var continuation: UnsafeContinuation<Answer, Never>?
}

/// What comes back.
enum Answer: Sendable {
    case connected(host: Int, incarnation: Int64, isInRecovery: Bool)
    case report(HostReport)
    case inserted
    case rows(isInRecovery: Bool)
    case failure(SimulatedError.Kind)
}
