// SPDX-License-Identifier: Apache-2.0

/// Says, before every send, whether the holder of a handle may still use the connection behind it.
///
/// One reference and plain bytes: handles are copied for each statement, and what is behind an existential of any size
/// would be copied by calls into the runtime.
public struct SendPermit: Sendable {
    /// What the issuer gave out with the permit, to recognise it by.
    public struct Stamp: Hashable, Sendable {
        /// Two numbers that mean something to the issuer only.
        public let first, second: UInt64

        /// Makes a stamp.
        public init(_ first: UInt64 = 0, _ second: UInt64 = 0) {
            self.first = first
            self.second = second
        }
    }

    private let issuer: any SendPermitIssuer
    private let stamp: Stamp

    /// Makes a permit that asks its issuer.
    ///
    /// - Parameters:
    ///   - issuer: Is asked.
    ///   - stamp: Is shown to it; two zeros if left out.
    public init(_ issuer: any SendPermitIssuer, stamp: Stamp = Stamp()) {
        self.issuer = issuer
        self.stamp = stamp
    }

    /// Returns if a statement may be sent.
    ///
    /// - Throws: ``SendRefusal``, which becomes a ``DatabaseError`` with the outcome `notSent`.
    func check() throws(SendRefusal) { try issuer.check(stamp) }
}

/// Gives out permits and takes them back.
public protocol SendPermitIssuer: AnyObject, Sendable {
    /// Returns if the holder of the permit with this stamp may send.
    ///
    /// It is asked for each statement before the connection is claimed, and again before a byte leaves, so it should cost
    /// no more than an atomic load or two.
    ///
    /// - Throws: ``SendRefusal``, which becomes a ``DatabaseError`` with the outcome `notSent`.
    func check(_ stamp: SendPermit.Stamp) throws(SendRefusal)
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
