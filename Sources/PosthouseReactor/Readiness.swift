// SPDX-License-Identifier: Apache-2.0

/// What a socket became ready for.
public struct Readiness: OptionSet, Sendable, Hashable {
    /// The set as a bit pattern.
    public let rawValue: UInt8

    /// A set from its bit pattern.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Reading may make progress.
    public static let read = Readiness(rawValue: 1)

    /// Writing may make progress.
    public static let write = Readiness(rawValue: 2)

    /// The peer closed or reset the connection, or the socket has an error. Always comes with `read` and `write`: the
    /// next attempt says what happened.
    public static let hangup = Readiness(rawValue: 4)
}
