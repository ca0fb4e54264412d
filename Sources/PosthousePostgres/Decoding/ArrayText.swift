// SPDX-License-Identifier: Apache-2.0

extension SQLArrayElement {
    /// Reads `{1,NULL,"a b"}`, also with bounds in front: `[2:3]={1,2}`.
    public static func decodeSQLArray(_ sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) -> [Self] {
        var reader = ArrayTextReader(skippingBoundsOf: sqlText)
        let elementType = type.element
        var elements: [Self] = []
        var scratch: [UInt8] = []
        guard try reader.open(sqlText) else { return elements }
        repeat {
            if try reader.readElement(of: sqlText, into: &scratch) {
                elements.append(try Self(sqlText: scratch.span, type: elementType))
            } else if let null = Self.sqlNull {
                elements.append(null)
            } else {
                throw SQLDecodingFailure(
                    reason: .null,
                    explanation: "element \(elements.count) is NULL; decode an array of optionals"
                )
            }
        } while try reader.advance(in: sqlText)
        return elements
    }
}

/// Walks over the text of an array; see section 8.15.6 of the PostgreSQL manual, array input and output syntax.
private struct ArrayTextReader {
    private var position = 0

    init(skippingBoundsOf text: Span<UInt8>) {
        guard text.count > 0, text[0] == UInt8(ascii: "[") else { return }
        while position < text.count, text[position] != UInt8(ascii: "=") {
            position += 1
        }
        position += 1
    }

    /// Steps over the opening brace; false if the array is empty.
    mutating func open(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> Bool {
        guard position < text.count, text[position] == UInt8(ascii: "{") else { throw .malformed("not an array") }
        position += 1
        guard position < text.count else { throw .malformed("the array has no end") }
        guard text[position] == UInt8(ascii: "}") else { return true }
        position += 1
        try finish(text)
        return false
    }

    /// Reads one element into `bytes`; false if it is NULL.
    mutating func readElement(of text: Span<UInt8>, into bytes: inout [UInt8]) throws(SQLDecodingFailure) -> Bool {
        bytes.removeAll(keepingCapacity: true)
        let isQuoted = position < text.count && text[position] == UInt8(ascii: "\"")
        if isQuoted {
            position += 1
        } else if position < text.count, text[position] == UInt8(ascii: "{") {
            throw .typeMismatch("the array has more than one dimension")
        }
        while position < text.count {
            var byte = text[position]
            if isQuoted, byte == UInt8(ascii: "\"") {
                position += 1
                return true
            }
            if !isQuoted, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") {
                return !bytes.elementsEqual("NULL".utf8)
            }
            if byte == UInt8(ascii: "\\"), position + 1 < text.count {
                position += 1
                byte = text[position]
            }
            bytes.append(byte)
            position += 1
        }
        throw .malformed("the array has no end")
    }

    /// Steps over the delimiter; false at the closing brace.
    mutating func advance(in text: Span<UInt8>) throws(SQLDecodingFailure) -> Bool {
        guard position < text.count else { throw .malformed("the array has no end") }
        let byte = text[position]
        position += 1
        if byte == UInt8(ascii: ",") { return true }
        guard byte == UInt8(ascii: "}") else { throw .malformed("an array element is followed by neither , nor }") }
        try finish(text)
        return false
    }

    private func finish(_ text: Span<UInt8>) throws(SQLDecodingFailure) {
        guard position == text.count else { throw .malformed("there is text after the end of the array") }
    }
}
