// SPDX-License-Identifier: Apache-2.0

/// Walks over SQL text and knows what is code and what is a string, a quoted name or a comment.
///
/// It follows section 4.1 of the PostgreSQL manual (lexical structure), with `standard_conforming_strings` on: the
/// default since 9.1. It is used where a fragment is put into a statement and where a statement is asked whether it is a
/// COMMIT, never for splicing values.
struct SQLScanner {
    struct Placeholder: Equatable {
        /// The bytes of `$n`.
        let range: Range<Int>
        let number: Int
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Every `$n` that is code.
    consuming func placeholders() -> [Placeholder] {
        var scanner = self
        var found: [Placeholder] = []
        while let start = scanner.nextCode() {
            if scanner.bytes[start] == .dollar, let placeholder = scanner.placeholder(at: start) {
                found.append(placeholder)
                scanner.position = placeholder.range.upperBound
            } else if scanner.bytes[start].startsIdentifier {
                scanner.position = scanner.identifierEnd(from: start)
            } else {
                scanner.position = start + 1
            }
        }
        return found
    }

    /// The first `count` words of the statement in upper case: enough to tell what kind of statement it is.
    consuming func leadingWords(_ count: Int) -> [String] {
        var scanner = self
        var words: [String] = []
        while words.count < count, let start = scanner.nextCode() {
            let byte = scanner.bytes[start]
            if byte.isSpace || (byte == .semicolon && words.isEmpty) {
                scanner.position = start + 1
            } else if byte.startsIdentifier {
                let end = scanner.identifierEnd(from: start)
                words.append(String(decoding: scanner.bytes[start..<end], as: UTF8.self).uppercased())
                scanner.position = end
            } else {
                break
            }
        }
        return words
    }

    /// The first words, `count` of them at most, of each statement in upper case, the way the server splits a script.
    ///
    /// A semicolon between parentheses ends no statement (`CREATE RULE`), nor does one in the body of a routine that is
    /// written as statements (`BEGIN ATOMIC ... END`): the rules of psql, in `psqlscan.l`.
    consuming func statements(words count: Int) -> [[String]] {
        var scanner = self
        var statements: [[String]] = []
        var statement = ScannedStatement()
        while let start = scanner.nextCode() {
            let byte = scanner.bytes[start]
            if byte.startsIdentifier {
                let end = scanner.identifierEnd(from: start)
                statement.read(String(decoding: scanner.bytes[start..<end], as: UTF8.self).uppercased())
                scanner.position = end
                continue
            }
            scanner.position = start + 1
            if byte == .semicolon, statement.isOutermost {
                if let words = statement.leadingWords(count) { statements.append(words) }
                statement = ScannedStatement()
            } else {
                statement.read(byte)
            }
        }
        if let words = statement.leadingWords(count) { statements.append(words) }
        return statements
    }

    /// The position of the next byte that is code, having skipped strings, quoted names and comments; nil at the end.
    private mutating func nextCode() -> Int? {
        while position < bytes.count {
            switch bytes[position] {
            case .quote:
                let escapes = position > 0 && isEscapePrefix(at: position - 1)
                skipQuoted(.quote, backslashEscapes: escapes)
            case .doubleQuote:
                skipQuoted(.doubleQuote, backslashEscapes: false)
            case .minus where byte(at: position + 1) == .minus:
                position = bytes[position...].firstIndex { $0 == .newline || $0 == .carriageReturn } ?? bytes.count
            case .slash where byte(at: position + 1) == .asterisk:
                skipBlockComment()
            case .dollar where dollarTag(at: position) != nil:
                skipDollarQuoted()
            default:
                return position
            }
        }
        return nil
    }

    private func byte(at index: Int) -> UInt8? {
        index < bytes.count ? bytes[index] : nil
    }

    /// `E'...'`: an E that does not end a longer word.
    private func isEscapePrefix(at index: Int) -> Bool {
        guard bytes[index] | 0x20 == UInt8(ascii: "e") else { return false }
        return index == 0 || !bytes[index - 1].continuesIdentifier
    }

    private mutating func skipQuoted(_ quote: UInt8, backslashEscapes: Bool) {
        position += 1
        while position < bytes.count {
            if bytes[position] == .backslash, backslashEscapes {
                position += 2
            } else if bytes[position] == quote {
                position += 1
                // A doubled quote is one quote inside the text.
                guard byte(at: position) == quote else { return }
                position += 1
            } else {
                position += 1
            }
        }
        position = bytes.count
    }

    /// Block comments nest in PostgreSQL.
    private mutating func skipBlockComment() {
        var depth = 0
        while position < bytes.count {
            if bytes[position] == .slash, byte(at: position + 1) == .asterisk {
                depth += 1
                position += 2
            } else if bytes[position] == .asterisk, byte(at: position + 1) == .slash {
                depth -= 1
                position += 2
                if depth == 0 { return }
            } else {
                position += 1
            }
        }
    }

    /// The whole `$tag$` that starts here, if one does.
    private func dollarTag(at start: Int) -> ArraySlice<UInt8>? {
        if start > 0, bytes[start - 1].continuesIdentifier { return nil }
        var end = start + 1
        while let byte = byte(at: end) {
            if byte == .dollar { return bytes[start...end] }
            guard end == start + 1 ? byte.startsIdentifier : byte.continuesIdentifier && byte != .dollar else {
                return nil
            }
            end += 1
        }
        return nil
    }

    private mutating func skipDollarQuoted() {
        guard let tag = dollarTag(at: position) else { return }
        position += tag.count
        while position < bytes.count {
            if bytes[position...].starts(with: tag) {
                position += tag.count
                return
            }
            position += 1
        }
    }

    private func placeholder(at start: Int) -> Placeholder? {
        var end = start + 1
        var number = 0
        while let digit = byte(at: end), digit.isDigit, number < 100_000 {
            number = number * 10 + Int(digit - UInt8(ascii: "0"))
            end += 1
        }
        return end > start + 1 ? Placeholder(range: start..<end, number: number) : nil
    }

    private func identifierEnd(from start: Int) -> Int {
        var end = start + 1
        while let byte = byte(at: end), byte.continuesIdentifier {
            end += 1
        }
        return end
    }
}

/// What a scan has seen of the statement it is in.
private struct ScannedStatement {
    /// The words it begins with; something that is no word ends them.
    private var words: [String] = []
    private var isPastWords = false
    private var parentheses = 0
    /// How many of `BEGIN` and `CASE` wait for their `END` in the body of a routine.
    private var blocks = 0

    /// Enough for `CREATE OR REPLACE FUNCTION`.
    private static let wordsKept = 4

    var isOutermost: Bool { parentheses == 0 && blocks == 0 }

    private var createsRoutine: Bool {
        words.first == "CREATE" && (words.contains("FUNCTION") || words.contains("PROCEDURE"))
    }

    mutating func read(_ word: String) {
        if !isPastWords, words.count < Self.wordsKept { words.append(word) }
        guard createsRoutine, parentheses == 0 else { return }
        switch word {
        case "BEGIN": blocks += 1
        case "CASE" where blocks > 0: blocks += 1
        case "END" where blocks > 0: blocks -= 1
        default: break
        }
    }

    mutating func read(_ byte: UInt8) {
        if byte == .openParenthesis { parentheses += 1 }
        if byte == .closeParenthesis, parentheses > 0 { parentheses -= 1 }
        if !byte.isSpace { isPastWords = true }
    }

    /// Nil if nothing was seen.
    func leadingWords(_ count: Int) -> [String]? {
        words.isEmpty && !isPastWords ? nil : Array(words.prefix(count))
    }
}

extension UInt8 {
    fileprivate static let openParenthesis = UInt8(ascii: "(")
    fileprivate static let closeParenthesis = UInt8(ascii: ")")
    fileprivate static let quote = UInt8(ascii: "'")
    fileprivate static let doubleQuote = UInt8(ascii: "\"")
    fileprivate static let backslash = UInt8(ascii: "\\")
    fileprivate static let dollar = UInt8(ascii: "$")
    fileprivate static let minus = UInt8(ascii: "-")
    fileprivate static let slash = UInt8(ascii: "/")
    fileprivate static let asterisk = UInt8(ascii: "*")
    fileprivate static let semicolon = UInt8(ascii: ";")
    fileprivate static let newline = UInt8(ascii: "\n")
    fileprivate static let carriageReturn = UInt8(ascii: "\r")

    fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    fileprivate var isSpace: Bool { self == 0x20 || (0x09...0x0D).contains(self) }
    fileprivate var startsIdentifier: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) || self == UInt8(ascii: "_") || self >= 0x80
    }
    fileprivate var continuesIdentifier: Bool { startsIdentifier || isDigit || self == .dollar }
}
