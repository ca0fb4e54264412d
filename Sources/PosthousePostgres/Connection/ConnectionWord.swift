// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// The state of a connection in one atomic word, as a pure value.
///
/// ```
///   open ──claim──▶ busy ──release──▶ open            (with the transaction status that the answer brought)
///    │                │
///    ├─ interrupt ────┤  interrupted: nobody may claim any more; an owner notices, breaks it off and releases
///    └─ close ────────┘  closing: whoever holds the claim, or the closer if nobody does, frees the connection
/// ```
///
/// Whoever swaps the word from not busy to busy owns the `PGconn` until the release.
struct ConnectionWord: Equatable, Sendable {
    private(set) var bits: UInt32

    private static let busy: UInt32 = 1 << 0
    private static let broken: UInt32 = 1 << 1
    private static let interrupted: UInt32 = 1 << 2
    private static let closing: UInt32 = 1 << 3
    private static let inTransaction: UInt32 = 1 << 4
    private static let inFailedTransaction: UInt32 = 1 << 5
    private static let freedBit: UInt32 = 1 << 6
    private static let used: UInt32 = 1 << 7
    private static let unusable = broken | interrupted | closing
    private static let transactionBits = inTransaction | inFailedTransaction

    init(bits: UInt32) {
        self.bits = bits
    }

    /// A connection that its maker still owns.
    static let born = ConnectionWord(bits: busy)

    var isBusy: Bool { bits & Self.busy != 0 }
    var isInterrupted: Bool { bits & Self.interrupted != 0 }
    var isClosing: Bool { bits & Self.closing != 0 }
    /// Nothing is left of it.
    var isFreed: Bool { bits & Self.freedBit != 0 }
    /// No statement can be sent any more.
    var isUnusable: Bool { bits & Self.unusable != 0 }
    /// Open, not busy, and outside a transaction.
    var isReusable: Bool { bits & ~Self.used == 0 }
    /// While it is busy: it was in a transaction when the exchange began.
    var beganInTransaction: Bool { bits & Self.transactionBits != 0 }
    /// Open, not busy, and in a transaction.
    var isInTransactionAtRest: Bool {
        bits & Self.transactionBits != 0 && bits & ~(Self.used | Self.transactionBits) == 0
    }
    /// A statement was sent since it was last ``recycled()``.
    var isUsed: Bool { bits & Self.used != 0 }

    var transactionStatus: TransactionStatus {
        if isUnusable { return .unknown }
        if isBusy { return .active }
        if bits & Self.inFailedTransaction != 0 { return .inFailedTransaction }
        return bits & Self.inTransaction != 0 ? .inTransaction : .idle
    }

    /// Nil if somebody else owns it, or nobody may.
    ///
    /// - Parameter use: Whether a statement is to be sent that may leave something in the session.
    func claimed(toUse use: Bool = false) -> ConnectionWord? {
        guard bits & (Self.busy | Self.unusable) == 0 else { return nil }
        return ConnectionWord(bits: bits | Self.busy | (use ? Self.used : 0))
    }

    /// Nothing is left in the session of those who used it.
    func recycled() -> ConnectionWord { ConnectionWord(bits: bits & ~Self.used) }

    /// Nil if it is closing already. If it was not busy, the caller owns it now, and frees it.
    func closed() -> ConnectionWord? {
        isClosing ? nil : ConnectionWord(bits: bits | Self.busy | Self.closing)
    }

    /// Nil if it was interrupted before, or is closing. If it was not busy, the caller owns it until the release.
    func interruptedAndClaimed() -> ConnectionWord? {
        bits & (Self.interrupted | Self.closing) != 0
            ? nil : ConnectionWord(bits: bits | Self.busy | Self.interrupted)
    }

    /// For the one who freed it.
    func freed() -> ConnectionWord { ConnectionWord(bits: bits | Self.freedBit) }

    /// What libpq says at the end of an exchange becomes the state.
    func released(_ status: PGTransactionStatusType) -> ConnectionWord {
        var bits = bits & ~(Self.busy | Self.transactionBits)
        switch status {
        case PQTRANS_IDLE: break
        case PQTRANS_INTRANS: bits |= Self.inTransaction
        case PQTRANS_INERROR: bits |= Self.inFailedTransaction
        // A command is still running, or the connection is bad: nothing that could be used again.
        default: bits |= Self.broken
        }
        return ConnectionWord(bits: bits)
    }

    func breaking() -> ConnectionWord { ConnectionWord(bits: bits | Self.broken) }
}

/// Where a session is with respect to transactions.
public enum TransactionStatus: Hashable, Sendable {
    /// Outside a transaction block.
    case idle
    /// A statement is running at this moment.
    case active
    /// In a transaction block.
    case inTransaction
    /// In a transaction block that has failed and takes only ROLLBACK.
    case inFailedTransaction
    /// The connection is closed or broken.
    case unknown
}
