// SPDX-License-Identifier: Apache-2.0

import Logging
import PosthousePool

// What goes wrong in a pool, be it a lone one's or a cluster's: warnings, but for refusals. Of those there may be thousands a
// second, and each has its caller, who is told.

extension Logger {
    func leaked(_ lease: LeaseReport) {
        warning("a connection has been leased for very long", metadata: lease.metadata)
    }

    func leakEnded(_ lease: LeaseReport) {
        warning("a connection that was leased for very long came back", metadata: lease.metadata)
    }

    func becameUnavailable(_ member: PoolMember) {
        warning(
            "no connection can be opened; requests are refused",
            metadata: ["posthouse.host": .string(member.label)]
        )
    }

    func becameAvailable(_ member: PoolMember) {
        notice("connections can be opened again", metadata: ["posthouse.host": .string(member.label)])
    }

    func refused(_ error: PoolError) {
        debug("a request was refused", metadata: ["posthouse.error": .string(error.description)])
    }
}

extension LeaseReport {
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "posthouse.host": .string(member.label), "posthouse.site": .stringConvertible(site),
            "posthouse.held": .stringConvertible(heldAtLeast),
        ]
        if let taskName { metadata["posthouse.task"] = .string(taskName) }
        return metadata
    }
}
