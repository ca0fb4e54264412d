// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// How the primary is lost.
enum Strike: String, Codable, CaseIterable {
    /// `pg_ctl stop -m immediate`; a replica is promoted after a while.
    case crash
    /// SIGSTOP to all its processes; a replica is promoted at once.
    case freeze
    /// Its packets are lost, both ways; a replica is promoted at once.
    case drop

    /// Nobody is told: what counts is the time from the loss on, not from the promotion on.
    var isSilent: Bool { self != .crash }

    func hit(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .crash: try await node.stop(.immediate)
        case .freeze: try await node.pause()
        case .drop: try await filter?.drop(node.port)
        }
    }

    /// It is back, as it was.
    func undo(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .crash: try await node.start()
        case .freeze: try await node.resume()
        case .drop: try await filter?.heal()
        }
    }
}
