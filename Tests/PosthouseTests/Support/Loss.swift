// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// How a primary is lost.
enum Loss: String, CaseIterable, Sendable {
    /// `pg_ctl stop -m immediate`: the sessions are told, and new ones are refused with 57P03 meanwhile.
    case immediate
    /// `pg_ctl stop -m fast`: statements are cancelled, and sessions ended, after a word.
    case fast
    /// `pg_ctl stop -m smart`: new sessions are refused (57P03), those that are there may stay, and they do.
    case smart
    /// `kill -9` of all its processes.
    case kill
    /// SIGSTOP to all its processes: connections are accepted by the kernel and get no answer.
    case frozen
    /// Its packets are lost, both ways: all its sockets are half open.
    case dropped
    /// What it sends is lost: it does what it is told, and nobody learns of it.
    case mute
    /// Its packets are answered with a reset.
    case rejected
    /// It is not lost at all: another is promoted beside it.
    case none

    /// Those that everybody can bring about.
    static let ofServers: [Loss] = [.immediate, .fast, .smart, .kill, .frozen, .none]
    /// Those that need a ``PacketFilter``.
    static let ofPackets: [Loss] = [.dropped, .mute, .rejected]

    /// Whether nobody is told, so that only silence tells, or the successor.
    var isSilent: Bool {
        switch self {
        case .immediate, .fast, .kill: false
        case .smart, .frozen, .dropped, .mute, .rejected, .none: true
        }
    }

    func strike(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .immediate: try await node.stop(.immediate)
        case .fast: try await node.stop(.fast, waiting: false)
        case .smart: try await node.stop(.smart, waiting: false)
        case .kill: try await node.kill()
        case .frozen: try await node.pause()
        case .dropped: try await filter?.drop(node.port)
        case .mute: try await filter?.drop(node.port, .toClient)
        case .rejected: try await filter?.reject(node.port)
        case .none: break
        }
    }

    /// The lost primary is back, as it was: it knows nothing of its successor.
    func undo(_ node: LocalNode, _ filter: PacketFilter?) async throws {
        switch self {
        case .immediate, .kill: try await node.start()
        case .fast, .smart:
            // A smart stop would wait for the monitor's session.
            try await node.stop(.fast)
            try await node.start()
        case .frozen: try await node.resume()
        case .dropped, .mute, .rejected: try await filter?.heal()
        case .none: break
        }
    }
}
