// SPDX-License-Identifier: Apache-2.0

extension ConnectionStringParser {
    /// `keyword = value` pairs, blanks between them; a value in single quotes may hold blanks; a backslash takes the
    /// next byte as it is, in quotes and outside.
    mutating func parseKeywordValuePairs() throws(ConnectionStringError) {
        var index = text.startIndex
        var followsSecret = false
        while true {
            index = endOfBlanks(from: index)
            guard index < text.endIndex else { return }

            let start = index
            while index < text.endIndex, text[index] != UInt8(ascii: "="), !isBlank(text[index]) { index += 1 }
            let keyword = String(decoding: text[start..<index], as: UTF8.self)
            index = endOfBlanks(from: index)
            guard index < text.endIndex, text[index] == UInt8(ascii: "=") else {
                throw missingEqualsSign(after: keyword, followsSecret: followsSecret, position: start + 1)
            }
            let equalsSign = index
            index = endOfBlanks(from: index + 1)
            if index > equalsSign + 1 { try refuseKeywordAsValue(at: index, of: keyword) }

            let bytes: [UInt8]
            let valueStart = index
            if index < text.endIndex, text[index] == UInt8(ascii: "'") {
                (bytes, index) = try quotedValue(from: index, keyword: keyword)
            } else {
                (bytes, index) = plainValue(from: index)
            }
            let value = try string(bytes, position: valueStart + 1)
            if keyword == "requiressl" {
                storeRequireSSL(value)
            } else {
                try store(keyword, value, suspicion: followsSecret ? .followsSecret : .none, position: start + 1)
            }
            followsSecret = ConnectionKeyword.named(keyword)?.isSecret == true
        }
    }

    /// libpq skips blanks after `=`, so that in `host= password=x`, left by an empty variable, the host is `password=x`.
    private func refuseKeywordAsValue(at start: Int, of keyword: String) throws(ConnectionStringError) {
        let word = text[start...].prefix { $0 != UInt8(ascii: "=") && !isBlank($0) }
        guard word.endIndex < text.endIndex, text[word.endIndex] == UInt8(ascii: "="),
            ConnectionKeyword.named(String(decoding: word, as: UTF8.self)) != nil
        else { return }
        let name = ConnectionKeyword.named(keyword).map { "\"\($0.name)\"" } ?? "a parameter"
        throw ConnectionStringError(
            .malformed,
            "\(name) has no value: another parameter follows its \"=\"; write an empty value as ''",
            position: start + 1
        )
    }

    private func plainValue(from start: Int) -> (value: [UInt8], end: Int) {
        var value: [UInt8] = []
        var index = start
        while index < text.endIndex, !isBlank(text[index]) {
            if text[index] == UInt8(ascii: "\\") {
                index += 1
                guard index < text.endIndex else { break }
            }
            value.append(text[index])
            index += 1
        }
        return (value, index)
    }

    private func quotedValue(
        from quote: Int,
        keyword: String
    ) throws(ConnectionStringError) -> (value: [UInt8], end: Int) {
        var value: [UInt8] = []
        var index = quote + 1
        while index < text.endIndex {
            switch text[index] {
            case UInt8(ascii: "'"):
                return (value, index + 1)
            case UInt8(ascii: "\\"):
                index += 1
                guard index < text.endIndex else { break }
                value.append(text[index])
            default:
                value.append(text[index])
            }
            index += 1
        }
        let name = ConnectionKeyword.named(keyword) != nil ? "the value of \"\(keyword)\"" : "a value"
        throw ConnectionStringError(
            .unterminatedQuote,
            "\(name) begins with a quote that is never closed; add the closing quote, and write a quote within the "
                + "value as \\'",
            position: quote + 1
        )
    }

    private func missingEqualsSign(
        after keyword: String,
        followsSecret: Bool,
        position: Int
    ) -> ConnectionStringError {
        let what = ConnectionKeyword.named(keyword) != nil && !followsSecret ? "\"\(keyword)\"" : "a word"
        return ConnectionStringError(
            .malformed,
            "\(what) is not followed by \"=\"; the connection string must be a URI (postgresql://...) or keyword=value "
                + "pairs, with values that hold blanks in single quotes",
            position: position
        )
    }

    private func endOfBlanks(from start: Int) -> Int {
        var index = start
        while index < text.endIndex, isBlank(text[index]) { index += 1 }
        return index
    }

    /// C's `isspace`: blank, tab, line feed, vertical tab, form feed, carriage return.
    private func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }
}
