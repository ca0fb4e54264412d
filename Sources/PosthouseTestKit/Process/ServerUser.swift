// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Who the servers run as. PostgreSQL refuses to run as root, so root gives them to `postgres`, or to `nobody`.
struct ServerUser: Sendable, Equatable {
    struct Change: Sendable, Equatable {
        var user: uid_t
        var group: gid_t
    }

    var name: String
    /// Nil if the servers run as the caller.
    var change: Change?

    var uid: uid_t { self.change?.user ?? uid_t.max }
    var gid: gid_t { self.change?.group ?? gid_t.max }

    static var callerUser: uid_t { geteuid() }
    static var callerGroup: gid_t { getegid() }

    /// Whom the servers of a lasting cluster run as; only that user and root can tell its processes from others.
    static func recorded(_ record: ClusterRecord) throws(LocalClusterError) -> ServerUser {
        let caller = geteuid()
        if caller == record.user { return ServerUser(name: "", change: nil) }
        guard caller == 0 else {
            throw LocalClusterError(.recordUnreadable, "The cluster was made by another user.")
        }
        return ServerUser(name: "", change: Change(user: record.user, group: record.group))
    }

    static func current() throws(LocalClusterError) -> ServerUser {
        guard geteuid() == 0 else { return ServerUser(name: "", change: nil) }
        for name in ["postgres", "nobody"] {
            guard let entry = getpwnam(name) else { continue }
            let change = Change(user: entry.pointee.pw_uid, group: entry.pointee.pw_gid)
            return ServerUser(name: name, change: change)
        }
        throw LocalClusterError(
            .invalidConfiguration,
            "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as."
        )
    }
}
