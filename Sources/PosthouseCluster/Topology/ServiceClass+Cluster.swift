// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

extension ServiceClass {
    /// Served by the one host that accepts writes.
    public static let primary = ServiceClass(rawValue: 1)
    /// Served by hosts in recovery.
    public static let replica = ServiceClass(rawValue: 2)
    /// Served by a server that is not in recovery, but whose transactions are read-only by default.
    public static let readOnlyPrimary = ServiceClass(rawValue: 4)
    /// Reads: served by replicas and by a read-only primary.
    public static let reads: ServiceClass = [.replica, .readOnlyPrimary]
}
