// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where commands write: data to standard output, everything else to standard error, at once and a line at a time.
enum Console {
    /// Data: what the command was asked for.
    static func output(_ line: some CustomStringConvertible) {
        put(line.description + "\n", on: STDOUT_FILENO)
    }

    /// Progress, remarks and errors.
    static func remark(_ line: some CustomStringConvertible) {
        put(line.description + "\n", on: STDERR_FILENO)
    }

    private static func put(_ text: String, on descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                // Nobody can be told that nobody listens.
                guard errno == EINTR else { return }
            } else {
                rest = rest.dropFirst(count)
            }
        }
    }
}
