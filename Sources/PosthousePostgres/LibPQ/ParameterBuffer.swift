// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The parameters of one statement as C strings, in memory that is kept for the next statement.
///
/// libpq copies them while it sends, so one buffer per connection is enough. Touched by the connection's owner only.
final class ParameterBuffer {
    /// One pointer per parameter, nil for NULL; nil altogether if there are none.
    private(set) var pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>?
    private(set) var count: Int32 = 0

    private var pointerCapacity = 0
    private var bytes: UnsafeMutablePointer<CChar>?
    private var byteCapacity = 0

    /// What is kept between statements; a larger buffer is given back.
    private static let keptCapacity = 64 * 1024

    deinit {
        pointers?.deallocate()
        bytes?.deallocate()
    }

    /// Copies the parameters in.
    ///
    /// - Returns: the position of a parameter that contains a NUL character, if there is one.
    func fill(_ parameters: [String?]) -> Int? {
        count = Int32(parameters.count)
        guard !parameters.isEmpty else { return nil }
        reserve(parameters)
        guard let pointers, let bytes else { return nil }
        var used = 0
        for index in parameters.indices {
            guard var text = parameters[index] else {
                pointers[index] = nil
                continue
            }
            let start = bytes + used
            text.withUTF8 { utf8 in
                if let source = utf8.baseAddress { memcpy(start, source, utf8.count) }
                used += utf8.count
            }
            if text.containsNUL { return index }
            bytes[used] = 0
            used += 1
            pointers[index] = UnsafePointer(start)
        }
        return nil
    }

    /// Gives back what an unusually large statement needed.
    func trim() {
        guard byteCapacity > Self.keptCapacity else { return }
        bytes?.deallocate()
        bytes = nil
        byteCapacity = 0
    }

    private func reserve(_ parameters: [String?]) {
        if parameters.count > pointerCapacity {
            pointers?.deallocate()
            pointerCapacity = max(parameters.count, 16)
            pointers = .allocate(capacity: pointerCapacity)
            pointers?.initialize(repeating: nil, count: pointerCapacity)
        }
        var needed = 0
        for case let text? in parameters {
            needed += text.utf8.count
        }
        needed += parameters.count
        if needed > byteCapacity {
            bytes?.deallocate()
            byteCapacity = max(needed, 512)
            bytes = .allocate(capacity: byteCapacity)
            bytes?.initialize(repeating: 0, count: byteCapacity)
        }
    }
}

extension String {
    /// True if the string contains U+0000, which ends a C string.
    var containsNUL: Bool {
        var copy = self
        return copy.withUTF8 { utf8 in
            guard let start = utf8.baseAddress else { return false }
            return memchr(start, 0, utf8.count) != nil
        }
    }
}
