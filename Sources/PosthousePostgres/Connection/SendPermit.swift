// SPDX-License-Identifier: Apache-2.0

/// Says, before every send, whether the holder of a handle may still use the connection behind it.
///
/// It is asked for each statement after the connection was claimed and before a byte leaves, so it should cost no more
/// than an atomic load or two.
public protocol SendPermit: Sendable {
    /// Returns if the statement may be sent.
    ///
    /// - Throws: ``SendRefusal``, which becomes a ``DatabaseError`` with the outcome `notSent`.
    func check() throws(SendRefusal)
}

/// Why a statement was not sent.
public struct SendRefusal: Error, Hashable, Sendable {
    /// The error's code, such as ``DatabaseError/Code/leaseExpired`` or ``DatabaseError/Code/fenced``.
    public let code: DatabaseError.Code

    /// What happened, and what to do.
    public let message: String

    /// Makes a refusal.
    public init(code: DatabaseError.Code, message: String) {
        self.code = code
        self.message = message
    }
}
