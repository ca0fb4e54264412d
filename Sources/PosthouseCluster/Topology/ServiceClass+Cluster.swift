// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

extension ServiceClass {
    /// Served by the one host that accepts writes.
    public static let primary = ServiceClass(rawValue: 1)
    /// Served by hosts that answer reads.
    public static let replica = ServiceClass(rawValue: 2)
}
