// SPDX-License-Identifier: Apache-2.0

/// Passwords kept in `~/.pgpass`: lines `host:port:database:user:password`, where `*` is anything and a backslash takes the
/// next byte as it is.
///
/// Read as libpq does: the first line that matches counts, `#` begins a comment line, the default socket directory matches as
/// `localhost`, and a file that others may open is ignored.
struct PasswordFile {
    let path: String
    let environment: ConnectionEnvironment

    /// The password for a server, or why the file is ignored; neither if no file is there or no line matches.
    func password(
        host: String,
        port: Int,
        database: String,
        user: String
    ) -> (password: Secret?, notice: ConnectionNotice?) {
        let contents: [UInt8]
        switch environment.readFile(path) {
        case .missing, .unreadable: return (nil, nil)
        case .notAFile: return (nil, ignored("is not a plain file"))
        case .contents(_, isOpenToOthers: true):
            return (nil, ignored("is open to its group or to everybody; run chmod 0600 on it"))
        case .contents(let bytes, isOpenToOthers: false): contents = bytes
        }

        let wanted = [host == environment.defaultHost ? "localhost" : host, String(port), database, user]
        for line in contents.split(separator: 0x0A) where line.first != UInt8(ascii: "#") {
            let fields = fields(of: line)
            guard fields.count == 5, zip(fields, wanted).allSatisfy({ $0.matches($1) }) else { continue }
            guard let password = String(validating: fields[4].bytes, as: UTF8.self) else {
                return (nil, ignored("holds a password that is not UTF-8"))
            }
            return (password.isEmpty ? nil : Secret(password), nil)
        }
        return (nil, nil)
    }

    private func ignored(_ reason: String) -> ConnectionNotice {
        ConnectionNotice(.passwordFileIgnored, "the password file \"\(path)\" is ignored: it \(reason)")
    }

    private struct Field {
        var bytes: [UInt8] = []
        /// An escaped asterisk is an asterisk.
        var isAsterisk = false

        func matches(_ text: String) -> Bool {
            isAsterisk || bytes.elementsEqual(text.utf8)
        }
    }

    /// The line's first five fields, escapes taken out.
    private func fields(of line: ArraySlice<UInt8>) -> [Field] {
        var line = line
        while line.last == UInt8(ascii: "\r") { line = line.dropLast() }

        var fields = [Field()]
        var isEscaped = false
        var start = line.startIndex
        for index in line.indices {
            let byte = line[index]
            if byte == UInt8(ascii: "\\"), !isEscaped, index + 1 < line.endIndex {
                isEscaped = true
                continue
            }
            if byte == UInt8(ascii: ":"), !isEscaped {
                fields[fields.count - 1].isAsterisk = line[start..<index].elementsEqual("*".utf8)
                guard fields.count < 5 else { break }
                fields.append(Field())
                start = index + 1
            } else {
                fields[fields.count - 1].bytes.append(byte)
            }
            isEscaped = false
        }
        return fields
    }
}
