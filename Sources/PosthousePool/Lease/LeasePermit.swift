// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The right to use a leased connection, valid only while the lease lasts.
///
/// A handle that might outlive its lease keeps the permit and checks it before every statement: two atomic loads.
public struct LeasePermit: Sendable {
    @usableFromInline package let slot: PoolSlot
    @usableFromInline package let expectedEpoch: UInt64
    @usableFromInline package let expectedFence: UInt64

    @inlinable
    package init(slot: PoolSlot, expectedEpoch: UInt64, expectedFence: UInt64) {
        self.slot = slot
        self.expectedEpoch = expectedEpoch
        self.expectedFence = expectedFence
    }

    /// Whether the connection may be used now.
    @inlinable public var isValid: Bool {
        slot.epoch.load(ordering: .acquiring) == expectedEpoch
            && slot.fence.word.load(ordering: .acquiring) == expectedFence
    }

    /// Returns if the connection may be used now.
    ///
    /// - Throws: ``PermitDenied`` that says why not.
    @inlinable
    public func check() throws(PermitDenied) {
        if isValid { return }
        try deny()
    }

    @usableFromInline
    func deny() throws(PermitDenied) {
        let fence = slot.fence.word.load(ordering: .acquiring)
        if slot.epoch.load(ordering: .acquiring) != expectedEpoch {
            throw PermitDenied(code: .leaseExpired, member: slot.fence.label)
        }
        if MemberFence.isFenced(fence, since: expectedFence) {
            throw PermitDenied(code: .fenced, member: slot.fence.label)
        }
        throw PermitDenied(code: .terminated, member: slot.fence.label)
    }
}

/// Why a connection may not be used (any more).
public struct PermitDenied: Error, Sendable, CustomStringConvertible {
    /// The kind of reason; more may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String { case leaseExpired, fenced, terminated }

        private let kind: Kind

        /// The lease has ended: the connection may be in other hands.
        public static let leaseExpired = Code(kind: .leaseExpired)
        /// The member was fenced while the connection was leased.
        public static let fenced = Code(kind: .fenced)
        /// The pool was terminated, or its graceful close ran into its deadline.
        public static let terminated = Code(kind: .terminated)

        /// The code as a word.
        public var description: String { kind.rawValue }
    }

    /// The kind of reason.
    public let code: Code
    /// The label of the connection's member.
    public let member: String

    /// What happened, and what to do.
    public var description: String {
        if code == .leaseExpired {
            return "leaseExpired: the connection to \(member) was used after its lease had ended; "
                + "keep the work inside the scope that leased it"
        }
        if code == .fenced {
            return "fenced: \(member) was fenced while this connection was leased; nothing more is sent there"
        }
        return "terminated: the pool was terminated while this connection to \(member) was leased"
    }
}
