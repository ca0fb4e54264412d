// SPDX-License-Identifier: Apache-2.0

/// A text as the server sees it: two strings of different bytes are two statements, though Swift calls them equal if they
/// read the same (`é` as one character, or as a letter and an accent).
struct StatementText: Hashable {
    let text: String

    static func == (left: StatementText, right: StatementText) -> Bool {
        left.bytes { left in
            right.bytes { right in left.count == right.count && left.elementsEqual(right) }
        }
    }

    func hash(into hasher: inout Hasher) {
        bytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    private func bytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        if let result = text.utf8.withContiguousStorageIfAvailable(body) { return result }
        return Array(text.utf8).withUnsafeBufferPointer(body)
    }
}
