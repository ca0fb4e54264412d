// SPDX-License-Identifier: Apache-2.0

/// What a member of a group serves, and what a request wants. The pool gives the bits no meaning: whoever chooses among
/// the members does (a cluster: primary = 1, replica = 2).
public struct ServiceClass: OptionSet, Sendable, Hashable {
    /// One bit a service.
    public let rawValue: UInt8

    /// The services of these bits.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Every service.
    @inlinable public static var all: ServiceClass { ServiceClass(rawValue: .max) }
}
