// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import PosthousePostgres

/// Reads one text as a type, as if it came from a server.
private func decode<Value: SQLDecodable>(_ text: String, _ type: Value.Type, oid: UInt32 = 25) throws -> Value {
    let bytes = Array(text.utf8)
    return try Value(sqlText: bytes.span, type: SQLType(oid: oid))
}

private func reason<Value: SQLDecodable>(_ text: String, _ type: Value.Type, oid: UInt32 = 25)
    -> SQLDecodingFailure.Reason?
{
    do {
        _ = try decode(text, type, oid: oid)
        return nil
    } catch {
        return (error as? SQLDecodingFailure)?.reason
    }
}

@Suite struct DecodingTests {
    @Test func wholeNumbersAreReadToTheirLimits() throws {
        #expect(try decode("-128", Int8.self) == -128)
        #expect(try decode("127", Int8.self) == 127)
        #expect(try decode("+5", Int.self) == 5)
        #expect(try decode("-9223372036854775808", Int64.self) == .min)
        #expect(try decode("9223372036854775807", Int64.self) == .max)
        #expect(try decode("18446744073709551615", UInt64.self) == .max)
        #expect(try decode("-0", UInt8.self) == 0)
    }

    @Test(arguments: ["-129", "128", "1000", "99999999999999999999"])
    func wholeNumbersOutOfRangeAreRefused(text: String) {
        #expect(reason(text, Int8.self) == .outOfRange)
    }

    @Test func negativeNumbersDoNotFitUnsignedTypes() {
        #expect(reason("-1", UInt64.self) == .outOfRange)
    }

    @Test(arguments: ["", "-", "+", "1.0", "1e3", " 1", "1 ", "abc", "0x10", "１"])
    func whatIsNoWholeNumberIsMalformed(text: String) {
        #expect(reason(text, Int.self) == .malformed)
    }

    @Test func fractionsAndSpecialNumbersAreRead() throws {
        #expect(try decode("0.1", Double.self) == 0.1)
        #expect(try decode("-Infinity", Double.self) == -.infinity)
        #expect(try decode("NaN", Double.self).isNaN)
        #expect(try decode("1e-30", Float.self) == 1e-30)
        #expect(reason("1e300", Float.self) == .outOfRange)
        #expect(reason("x", Double.self) == .malformed)
    }

    @Test func booleansAreRead() throws {
        #expect(try decode("t", Bool.self))
        #expect(try !decode("f", Bool.self))
        #expect(reason("1", Bool.self) == .malformed)
    }

    @Test func byteaIsReadInBothForms() throws {
        #expect(try decode("\\x00fFa0", [UInt8].self, oid: 17) == [0, 0xFF, 0xA0])
        #expect(try decode("\\x", [UInt8].self, oid: 17).isEmpty)
        #expect(try decode("a\\000\\\\\\377", [UInt8].self, oid: 17) == [97, 0, 92, 255])
        #expect(try decode("", Data.self, oid: 17).isEmpty)
        #expect(reason("\\x0", [UInt8].self, oid: 17) == .malformed)
        #expect(reason("\\x0g", [UInt8].self, oid: 17) == .malformed)
        #expect(reason("\\9", [UInt8].self, oid: 17) == .malformed)
        #expect(reason("\\999", [UInt8].self, oid: 17) == .malformed)
        #expect(reason("abc", [UInt8].self, oid: 25) == .typeMismatch)
    }

    @Test func arraysAreRead() throws {
        #expect(try decode("{1,-2,3}", [Int].self, oid: 1016) == [1, -2, 3])
        #expect(try decode("{}", [Int].self).isEmpty)
        #expect(try decode("{1,NULL}", [Int?].self) == [1, nil])
        #expect(
            try decode(#"{a,"b \"c\" \\ ,}","NULL","",NULL}"#, [String?].self) == [
                "a", #"b "c" \ ,}"#, "NULL", "", nil,
            ]
        )
        #expect(try decode("[2:3]={7,8}", [Int].self) == [7, 8])
        #expect(try decode(#"{"\\x01ff","\\x"}"#, [Data].self, oid: 1001) == [Data([1, 255]), Data()])
        #expect(try decode("{t,f}", [Bool].self) == [true, false])
    }

    @Test func anArrayWithNullNeedsOptionals() {
        #expect(reason("{1,NULL}", [Int].self) == .null)
    }

    @Test func arraysOfSeveralDimensionsAreRefused() {
        #expect(reason("{{1,2},{3,4}}", [Int].self) == .typeMismatch)
    }

    @Test(arguments: ["", "1", "{", "{1", "{1,", "{\"a", "{\"a\"", "{1}x", "{}x", "{\"a\"b}", "[1:2]", "{1,}"])
    func brokenArraysAreMalformed(text: String) {
        #expect(reason(text, [Int].self) == .malformed)
    }

    @Test func datesAreReadInEveryFormOfTheISOStyle() throws {
        let epoch = Date(timeIntervalSince1970: 0)
        #expect(try decode("1970-01-01 00:00:00+00", Date.self) == epoch)
        #expect(try decode("1970-01-01 05:30:00+05:30", Date.self) == epoch)
        #expect(try decode("1969-12-31 20:29:08-03:30:52", Date.self) == epoch)
        #expect(try decode("1970-01-01", Date.self) == epoch)
        #expect(try decode("1970-01-01 00:00:00", Date.self) == epoch)
        #expect(try decode("1969-12-31 23:59:59.75", Date.self) == Date(timeIntervalSince1970: -0.25))
        #expect(try decode("2000-02-29 00:00:00.000001+00", Date.self).timeIntervalSince1970 == 951_782_400.000001)
        #expect(try decode("0044-03-13 00:00:00+00 BC", Date.self) == Date(timeIntervalSince1970: -63_517_996_800))
        #expect(try decode("294246-12-31 23:59:59.999999", Date.self) > epoch)
        #expect(reason("294276-12-31 23:59:59.999999", Date.self) == .outOfRange)
        #expect(reason("infinity", Date.self) == .outOfRange)
        #expect(reason("-infinity", Date.self) == .outOfRange)
        for text in ["", "-", "1970", "1970-1-1", "1970-13-01", "1970-01-01 x", "01/02/2003", "1970-01-01 00:00:00+0"] {
            #expect(reason(text, Date.self) == .malformed, "\(text)")
        }
    }

    @Test(arguments: [-210_866_803_200_000_000, -1, 0, 1, 951_868_799_999_999, 4_107_542_400_000_000] as [Int64])
    func timestampsSurviveBothWays(microseconds: Int64) throws {
        let text = Array(Timestamp.text(microseconds: microseconds).utf8)
        #expect(try Timestamp.microseconds(text.span) == microseconds)
    }

    @Test func everyDayOfEightHundredYearsSurvivesBothWays() {
        var wrong = 0
        for days in Int64(-146_097)..<146_097 {
            let date = Timestamp.civilDate(days: days)
            if Timestamp.days(year: date.year, month: date.month, day: date.day) != days { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    @Test func decimalsNeverLoseDigits() throws {
        #expect(try decode("-12345678901234567890.123", Decimal.self) == Decimal(string: "-12345678901234567890.123"))
        #expect(try decode("0.00", Decimal.self) == 0)
        #expect(try decode("NaN", Decimal.self).isNaN)
        #expect(reason(String(repeating: "9", count: 39), Decimal.self) == .outOfRange)
        #expect(reason("Infinity", Decimal.self) == .outOfRange)
        for text in ["x", "", "2024-01-01", "1-2", "1.2.3", "12N", "1e", ".", "-", "1 "] {
            #expect(reason(text, Decimal.self) == .malformed, "\(text)")
        }
        #expect(try decode("-0.5e+3", Decimal.self) == -500)
    }

    @Test func rawRepresentableTypesAreReadFromTheirRawValue() throws {
        enum Mood: String, SQLDecodable { case good }
        #expect(try decode("good", Mood.self) == .good)
        #expect(reason("bad", Mood.self) == .malformed)
    }
}
