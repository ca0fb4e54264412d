// SPDX-License-Identifier: Apache-2.0

/// A value that must not appear in logs: it prints as `***` wherever Swift would print it (`print`, interpolation,
/// `dump`, `Mirror`, `String(reflecting:)`).
public struct Secret: Sendable, Hashable {
    private let text: String

    /// Hides a text.
    public init(_ text: String) {
        self.text = text
    }

    /// The text itself, for the one place that needs it.
    public var revealed: String { text }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Always `***`.
    public var description: String { "***" }
    /// Always `***`.
    public var debugDescription: String { "***" }
    /// A mirror without children, so that reflection finds nothing.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
