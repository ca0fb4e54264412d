// SPDX-License-Identifier: Apache-2.0

/// The states of one word of open idle connections, and its transitions. A value, so that the tests' model checker runs the
/// very transitions that `OpenIdle` swaps in.
///
/// | bits  | meaning |
/// |-------|---------|
/// | 0-47  | set: the slot's connection is idle and may be taken |
/// | 48-62 | the number of the opening, modulo 2^15 |
/// | 63    | withdrawn: nobody takes or gives; only the lock's holder changes the word |
struct OpenWord: Hashable, Sendable {
    private(set) var bits: UInt64

    private static let withdrawnBit: UInt64 = 1 << 63
    private static let idleBits: UInt64 = 1 << UInt64(SlotSet.slotsPerWord) - 1
    private static let numberStep: UInt64 = 1 << UInt64(SlotSet.slotsPerWord)

    init(bits: UInt64) { self.bits = bits }

    /// What a word begins with.
    static let withdrawn = OpenWord(bits: withdrawnBit)

    var isWithdrawn: Bool { bits & Self.withdrawnBit != 0 }
    var idle: UInt64 { bits & Self.idleBits }

    /// Without the lowest of these idle slots, and which one that is; nil if none of them is idle, or all are withdrawn.
    func taking(from eligible: UInt64) -> (next: OpenWord, slot: Int)? {
        let idle = idle & eligible
        guard idle != 0, !isWithdrawn else { return nil }
        return (OpenWord(bits: bits & ~(idle & (0 &- idle))), idle.trailingZeroBitCount)
    }

    /// With this slot idle; nil if that is for the lock's holder to say.
    func giving(_ slot: Int) -> OpenWord? {
        isWithdrawn ? nil : OpenWord(bits: bits | 1 << UInt64(slot))
    }

    /// Set by a swap: what was given before is in the word that the swap finds.
    func withdrawing() -> OpenWord { OpenWord(bits: bits | Self.withdrawnBit) }

    /// Open again, under the next number: no swap that was prepared before succeeds.
    func opening(_ idle: UInt64) -> OpenWord {
        OpenWord(bits: (bits &+ Self.numberStep) & ~(Self.withdrawnBit | Self.idleBits) | idle)
    }
}
