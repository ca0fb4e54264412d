// SPDX-License-Identifier: Apache-2.0

/// Reads and writes dates and timestamps in PostgreSQL's ISO style, without Foundation.
///
/// The proleptic Gregorian calendar, as the server's: `2024-02-29 12:34:56.789012+05:30`, `0044-03-15 BC`.
enum Timestamp {
    /// Microseconds since 1970-01-01 00:00 UTC. Text without an offset is read as UTC.
    static func microseconds(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> Int64 {
        var reader = Reader()
        return try reader.read(text)
    }

    /// `2024-02-29 12:34:56.789012+00`, with ` BC` where it belongs.
    static func text(microseconds: Int64) -> String {
        let dayLength: Int64 = 86_400_000_000
        let days = microseconds.floorDivided(by: dayLength)
        // Not by multiplication, which overflows at the lowest numbers.
        let remainder = microseconds % dayLength
        let rest = remainder < 0 ? remainder + dayLength : remainder
        let date = civilDate(days: days)
        let isBeforeChrist = date.year <= 0
        let year = isBeforeChrist ? 1 - date.year : date.year
        let seconds = rest / 1_000_000
        var text = "\(padded(year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2)) "
        text += "\(padded(seconds / 3600, 2)):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2))"
        text += ".\(padded(rest % 1_000_000, 6))+00"
        return isBeforeChrist ? text + " BC" : text
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// Days since 1970-01-01 of a civil date: count 400-year eras of 146,097 days from 0000-03-01, so that the leap day is
    /// the last of its year.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted.floorDivided(by: 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func civilDate(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let year = yearOfEra + era * 400
        return month < 10 ? (year, month + 3, day) : (year + 1, month - 9, day)
    }

    private struct Reader {
        private var position = 0

        mutating func read(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> Int64 {
            let word = text.count > 0 ? text[text[0] == UInt8(ascii: "-") ? min(1, text.count - 1) : 0] : 0
            if word == UInt8(ascii: "i") { throw .outOfRange }  // infinity and -infinity
            var year = try number(text, digits: 4...7)
            try expect("-", text)
            let month = try number(text, digits: 2...2)
            try expect("-", text)
            let day = try number(text, digits: 2...2)
            guard (1...12).contains(month), (1...31).contains(day) else { throw Self.malformed }
            var microseconds: Int64 = 0
            if peek(text) == UInt8(ascii: " "), position + 1 < text.count, text[position + 1].isDecimalDigit {
                position += 1
                microseconds = try time(text)
            }
            if position < text.count {
                guard position + 3 == text.count, text[position] == UInt8(ascii: " "),
                    text[position + 1] == UInt8(ascii: "B"), text[position + 2] == UInt8(ascii: "C")
                else { throw Self.malformed }
                year = 1 - year
            }
            let days = Timestamp.days(year: year, month: month, day: day)
            // PostgreSQL counts from 2000, so its last thirty years do not fit a count from 1970.
            let (midnight, dayOverflow) = days.multipliedReportingOverflow(by: 86_400_000_000)
            let (sum, timeOverflow) = midnight.addingReportingOverflow(microseconds)
            guard !dayOverflow, !timeOverflow else { throw .outOfRange }
            return sum
        }

        private mutating func time(_ text: Span<UInt8>) throws(SQLDecodingFailure) -> Int64 {
            var seconds = try number(text, digits: 2...2) * 3600
            try expect(":", text)
            seconds += try number(text, digits: 2...2) * 60
            try expect(":", text)
            seconds += try number(text, digits: 2...2)
            var fraction: Int64 = 0
            if peek(text) == UInt8(ascii: ".") {
                position += 1
                let start = position
                fraction = try number(text, digits: 1...6)
                for _ in (position - start)..<6 {
                    fraction *= 10
                }
            }
            let sign: Int64 = peek(text) == UInt8(ascii: "+") ? 1 : peek(text) == UInt8(ascii: "-") ? -1 : 0
            if sign != 0 {
                position += 1
                // Hours, and minutes and seconds where the zone has them.
                var unit: Int64 = 3600
                var offset = try number(text, digits: 2...2) * unit
                while peek(text) == UInt8(ascii: ":"), unit > 1 {
                    position += 1
                    unit /= 60
                    offset += try number(text, digits: 2...2) * unit
                }
                seconds -= sign * offset
            }
            return seconds * 1_000_000 + fraction
        }

        private func peek(_ text: Span<UInt8>) -> UInt8? {
            position < text.count ? text[position] : nil
        }

        private mutating func number(_ text: Span<UInt8>, digits: ClosedRange<Int>) throws(SQLDecodingFailure) -> Int64
        {
            var value: Int64 = 0
            var count = 0
            while count < digits.upperBound, let byte = peek(text), byte.isDecimalDigit {
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
                position += 1
                count += 1
            }
            guard count >= digits.lowerBound else { throw Self.malformed }
            return value
        }

        private mutating func expect(_ character: Unicode.Scalar, _ text: Span<UInt8>) throws(SQLDecodingFailure) {
            guard peek(text) == UInt8(ascii: character) else { throw Self.malformed }
            position += 1
        }

        private static let malformed = SQLDecodingFailure.malformed("the text is not a date in ISO style")
    }
}

extension UInt8 {
    fileprivate var isDecimalDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
