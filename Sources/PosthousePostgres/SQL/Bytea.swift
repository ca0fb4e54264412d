// SPDX-License-Identifier: Apache-2.0

/// The text forms of `bytea`: `\x` and hexadecimal digits, which is what servers send since 9.0, and the older escape
/// form, which `bytea_output = escape` still selects.
enum Bytea {
    static func encode(_ bytes: some Collection<UInt8>) -> String {
        let digits = StaticString("0123456789abcdef")
        return String(unsafeUninitializedCapacity: 2 + 2 * bytes.count) { buffer in
            buffer[0] = UInt8(ascii: "\\")
            buffer[1] = UInt8(ascii: "x")
            var index = 2
            for byte in bytes {
                buffer[index] = digits.utf8Start[Int(byte >> 4)]
                buffer[index + 1] = digits.utf8Start[Int(byte & 15)]
                index += 2
            }
            return index
        }
    }

    static func decode(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> [UInt8] {
        if text.count >= 2, text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x") {
            try decodeHexadecimal(text)
        } else {
            try decodeEscaped(text)
        }
    }

    private static func decodeHexadecimal(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> [UInt8] {
        guard text.count.isMultiple(of: 2) else { throw .malformed("a hexadecimal bytea with an odd number of digits") }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2 - 1)
        var index = 2
        while index < text.count {
            guard let high = text[index].hexadecimalDigit, let low = text[index + 1].hexadecimalDigit else {
                throw .malformed("not a hexadecimal digit")
            }
            bytes.append(high << 4 | low)
            index += 2
        }
        return bytes
    }

    private static func decodeEscaped(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            guard text[index] == UInt8(ascii: "\\") else {
                bytes.append(text[index])
                index += 1
                continue
            }
            if index + 1 < text.count, text[index + 1] == UInt8(ascii: "\\") {
                bytes.append(UInt8(ascii: "\\"))
                index += 2
                continue
            }
            guard index + 3 < text.count else { throw .malformed("a bytea escape without its three digits") }
            var value = 0
            for offset in 1...3 {
                let digit = Int(text[index + offset]) - 0x30
                guard (0...7).contains(digit) else { throw .malformed("a bytea escape without its three digits") }
                value = value * 8 + digit
            }
            guard let byte = UInt8(exactly: value) else { throw .malformed("a bytea escape above 377") }
            bytes.append(byte)
            index += 4
        }
        return bytes
    }
}

extension UInt8 {
    /// The value of this character as a hexadecimal digit; nil if it is none.
    var hexadecimalDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
