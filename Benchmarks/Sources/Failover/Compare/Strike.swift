// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// How the primary is lost.
enum Strike: String, Codable, CaseIterable {
    /// `pg_ctl stop -m immediate`.
    case crash
    /// SIGSTOP to all its processes.
    case freeze
    /// Its packets are lost, both ways.
    case drop
    /// SIGKILL to all its processes at once.
    case kill
    /// `pg_ctl stop -m fast`.
    case fast
    /// `pg_ctl stop -m smart`: whoever is there may stay, and nobody else comes in.
    case smart
    /// Its packets are answered with resets.
    case reject
    /// Statements arrive, and their answers are lost.
    case halfOpen = "half-open"
    /// It lives on while a replica is promoted.
    case beside

    /// Nobody is told: what counts is the time from the loss on, not from the promotion on, and that comes at once.
    var isSilent: Bool { [.freeze, .drop, .halfOpen].contains(self) }

    /// Needs a ``PacketFilter``.
    var isOfPackets: Bool { [.drop, .reject, .halfOpen].contains(self) }

    /// What was done, and from when the time to the first write counts.
    var title: String {
        let loss =
            switch self {
            case .crash: "crash"
            case .freeze: "frozen under traffic"
            case .drop: "packets dropped under traffic"
            case .kill: "killed (SIGKILL)"
            case .fast: "fast shutdown"
            case .smart: "smart shutdown"
            case .reject: "packets rejected under traffic"
            case .halfOpen: "half-open: answers dropped under traffic"
            case .beside: "promotion beside the primary, which lives on"
            }
        return loss + (isSilent ? "; from the loss" : "; from the moment a tight loop on a warm connection could write")
    }

    func hit(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .crash: try await node.stop(.immediate)
        case .freeze: try await node.pause()
        case .drop: try await filter?.drop(node.port)
        case .kill: try await node.kill()
        case .fast: try await node.stop(.fast)
        // It would last until the last session ends.
        case .smart: try await node.stop(.smart, waiting: false)
        case .reject: try await filter?.reject(node.port)
        case .halfOpen: try await filter?.drop(node.port, .toClient)
        case .beside: break
        }
    }

    /// It is back, as it was.
    func undo(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .crash, .kill, .fast: try await node.start()
        case .smart:
            try await node.stop(.fast)
            try await node.start()
        case .freeze: try await node.resume()
        case .drop, .reject, .halfOpen: try await filter?.heal()
        case .beside: break
        }
    }
}
