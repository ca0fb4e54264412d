// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import PosthouseCLI

@Suite struct DSNOutputTests {
    @Test func jsonIsCompactSortedAndVersioned() {
        let value = JSONValue.document([
            "zulu": [1, -2, 2.5, nil], "alpha": ["b": true, "a": .optional(nil)], "whole": 3.0,
            "nothing": .number(.nan), "elapsed_ms": .milliseconds(.microseconds(1_234_567)),
        ])
        #expect(
            value.description
                == #"{"alpha":{"a":null,"b":true},"elapsed_ms":1234.567,"nothing":null,"version":1,"whole":3,"zulu":[1,-2,2.5,null]}"#
        )
    }

    @Test func jsonTextComesBackAsItWas() throws {
        let text = "a\"b\\c/\n\r\t\u{0}\u{1F}\u{7F}é\u{301}\u{1F600}\u{2028}"
        let json = JSONValue.array([.string(text)]).description
        #expect(!json.contains("\n"))
        let back = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String]
        #expect(back?.first.map { Array($0.unicodeScalars) } == Array(text.unicodeScalars))
    }

    @Test func tablesAlignAndNeverDisturbTheTerminal() {
        var table = TextTable("A", "B", "C")
        table.append("long cell", "x", "y")
        table.append("é", "\u{1B}[2J", "last")
        #expect(table.description == "A          B     C\nlong cell  x     y\né          ?[2J  last")
    }
}
