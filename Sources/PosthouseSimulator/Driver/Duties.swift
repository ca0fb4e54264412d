// SPDX-License-Identifier: Apache-2.0

/// What a driver owes the cluster. A run in which one of them is neglected has to fail, or nothing is shown by those that
/// do not.
package struct Duties: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// To ask for the permit before each statement.
    static let permits = Duties(rawValue: 1)
    /// To end what a connection waits for when it is interrupted.
    static let interrupts = Duties(rawValue: 2)
    /// To report the timeline.
    static let timelines = Duties(rawValue: 4)
    /// To notice that a connection is broken.
    static let breaks = Duties(rawValue: 8)
    /// To close what is to be closed.
    static let closes = Duties(rawValue: 16)
}
