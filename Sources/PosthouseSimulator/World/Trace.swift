// SPDX-License-Identifier: Apache-2.0

/// What happened, in order: a digest of all of it, and the lines themselves where somebody wants to read them.
struct Trace {
    private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    private(set) var count = 0
    private(set) var lines: [String] = []
    let isRecording: Bool

    init(isRecording: Bool) {
        self.isRecording = isRecording
    }

    /// - Parameter code: Stands for the line in the digest (FNV-1a, eight bytes at a time).
    mutating func note(at: Int64, _ code: UInt64, _ line: @autoclosure () -> String) {
        count += 1
        digest = (digest ^ UInt64(bitPattern: at)) &* 0x100_0000_01B3
        digest = (digest ^ code) &* 0x100_0000_01B3
        guard isRecording else { return }
        let (seconds, fraction) = at.quotientAndRemainder(dividingBy: 1_000_000_000)
        let digits = String(fraction)
        lines.append("\(seconds).\(String(repeating: "0", count: 9 - digits.count))\(digits) \(line())")
    }
}
