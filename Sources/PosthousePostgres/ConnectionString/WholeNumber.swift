// SPDX-License-Identifier: Apache-2.0

/// Numbers as libpq reads them with C's `strtol`: decimal, blanks around them and a sign allowed.
enum WholeNumber {
    /// The number, or nil if the text is none or needs more than 32 bits.
    static func parse(_ text: String) -> Int? {
        let isBlank = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        var digits = text.utf8.drop(while: isBlank)
        while let last = digits.last, isBlank(last) { digits = digits.dropLast() }
        // `Int32.init` takes a sign and ASCII digits, nothing else.
        return Int32(Substring(digits)).map(Int.init)
    }
}
