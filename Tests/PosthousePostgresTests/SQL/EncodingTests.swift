// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthousePostgres
import Testing

@Suite struct EncodingTests {
    @Test func numbersAreWrittenInFull() {
        #expect(Int64.min.sqlText == "-9223372036854775808")
        #expect(UInt64.max.sqlText == "18446744073709551615")
        #expect((0.1).sqlText == "0.1")
        #expect(Double.infinity.sqlText == "inf")
        #expect(Float(0.1).sqlText == "0.1")
        #expect(true.sqlText == "true")
    }

    @Test func bytesAreAByteaAndOtherArraysAreArrays() {
        #expect(([0, 0x7F, 0xFF] as [UInt8]).sqlText == "\\x007fff")
        #expect(([] as [UInt8]).sqlText == "\\x")
        #expect([1, 2].sqlText == "{\"1\",\"2\"}")
        #expect(([] as [Int]).sqlText == "{}")
        #expect([1, nil].sqlText == "{\"1\",NULL}")
        #expect(["a\"b\\c", "NULL", "", "{,}"].sqlText == "{\"a\\\"b\\\\c\",\"NULL\",\"\",\"{,}\"}")
        #expect([Data([1]), Data()].sqlText == "{\"\\\\x01\",\"\\\\x\"}")
    }

    @Test func rawRepresentableTypesAreWrittenAsTheirRawValue() {
        enum Mood: String, SQLArrayElement { case good, bad }
        #expect(Mood.bad.sqlText == "bad")
        #expect([Mood.good].sqlText == "{\"good\"}")
    }

    @Test func datesAreWrittenInUTCToTheMicrosecond() {
        #expect(Date(timeIntervalSince1970: 0).sqlText == "1970-01-01 00:00:00.000000+00")
        #expect(Date(timeIntervalSince1970: 951_782_399.5).sqlText == "2000-02-28 23:59:59.500000+00")
        #expect(Date(timeIntervalSince1970: -0.25).sqlText == "1969-12-31 23:59:59.750000+00")
        #expect(Date(timeIntervalSince1970: -63_517_996_800).sqlText == "0044-03-13 00:00:00.000000+00 BC")
        #expect(Date(timeIntervalSince1970: .infinity).sqlText == "out of range")
    }

    @Test func foundationTypesHaveTheirPostgreSQLForms() throws {
        let id = try #require(UUID(uuidString: "12345678-1234-1234-1234-123456789abc"))
        #expect(id.sqlText == "12345678-1234-1234-1234-123456789ABC")
        #expect(Data([0xAB]).sqlText == "\\xab")
        #expect(try #require(Decimal(string: "12345678901234567890.123")).sqlText == "12345678901234567890.123")
        #expect(Decimal.nan.sqlText == "NaN")
    }
}
