// SPDX-License-Identifier: Apache-2.0

/// Connection parameters kept under a name in `pg_service.conf`: lines `keyword=value` below a line `[name]`.
///
/// Read as libpq does: `#` begins a comment line, blanks at both ends of a line do not matter, those around `=` do; the first
/// section of the name counts, and within it the first line of a keyword. Not supported: LDAP look-ups, a line length limit.
struct ServiceFile {
    /// Completes the table with the service it names, if it names one.
    static func complete(
        _ table: inout ParameterTable,
        environment: ConnectionEnvironment
    ) throws(ConnectionStringError) {
        guard let service = table["service"]?.value.revealed ?? environment.variables["PGSERVICE"] else { return }

        if let path = table.text("servicefile") ?? environment.variables["PGSERVICEFILE"] {
            if case .missing = environment.readFile(path) {
                throw ConnectionStringError(
                    .invalidServiceFile,
                    "the service file \"\(path)\" does not exist; correct PGSERVICEFILE, or make the file"
                )
            }
            if try complete(&table, with: service, in: path, environment: environment) { return }
        } else if let home = environment.home {
            if try complete(&table, with: service, in: "\(home)/.pg_service.conf", environment: environment) { return }
        }
        let directories =
            environment.variables["PGSYSCONFDIR"].map { [$0] } ?? environment.systemConfigurationDirectories
        for directory in directories {
            if try complete(&table, with: service, in: "\(directory)/pg_service.conf", environment: environment) {
                return
            }
        }
        throw ConnectionStringError(
            .serviceNotFound,
            "no service file defines the service \"\(service)\"; add a section [\(service)] to ~/.pg_service.conf or to the "
                + "file that PGSERVICEFILE names",
            parameter: "service"
        )
    }

    private static func complete(
        _ table: inout ParameterTable,
        with service: String,
        in path: String,
        environment: ConnectionEnvironment
    ) throws(ConnectionStringError) -> Bool {
        let contents: [UInt8]
        switch environment.readFile(path) {
        case .missing: return false
        case .notAFile:
            throw ConnectionStringError(.invalidServiceFile, "the service file \"\(path)\" is not a plain file")
        case .unreadable(let reason):
            throw ConnectionStringError(.invalidServiceFile, "the service file \"\(path)\" cannot be read: \(reason)")
        case .contents(let bytes, _): contents = bytes
        }

        var isInSection = false
        let header = Array("[\(service)]".utf8)
        for (index, rawLine) in contents.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = trimmed(rawLine)
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            if first == UInt8(ascii: "[") {
                if isInSection { return true }
                isInSection = line.starts(with: header)
            } else if isInSection {
                try set(line, in: &table, service: service, place: "line \(index + 1) of \"\(path)\"", environment)
            }
        }
        return isInSection
    }

    private static func set(
        _ line: ArraySlice<UInt8>,
        in table: inout ParameterTable,
        service: String,
        place: String,
        _ environment: ConnectionEnvironment
    ) throws(ConnectionStringError) {
        guard !line.starts(with: "ldap".utf8) else {
            throw ConnectionStringError(
                .invalidServiceFile,
                "\(place) asks for an LDAP look-up, which Posthouse does not do; write the parameters into the file"
            )
        }
        // A line may hold a password: its value is never quoted, nor is a line without "=".
        guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else {
            throw ConnectionStringError(.invalidServiceFile, "\(place) has no \"=\"; write keyword=value")
        }
        let keyword = String(decoding: line[..<equals], as: UTF8.self)
        guard keyword != "service" else {
            throw ConnectionStringError(
                .invalidServiceFile,
                "\(place) names a service within a service, which is not possible; remove the line",
                parameter: keyword
            )
        }
        guard ConnectionKeyword.named(keyword)?.isKnown(to: environment.libpqVersion) == true else {
            let suggestion = KeywordSuggestion.closest(to: keyword).map { "; did you mean \"\($0)\"?" } ?? ""
            throw ConnectionStringError(
                .invalidServiceFile,
                "\(place) sets \"\(keyword)\", which is no parameter\(suggestion)",
                parameter: keyword
            )
        }
        guard !line.contains(0), let value = String(validating: line[(equals + 1)...], as: UTF8.self) else {
            throw ConnectionStringError(
                .invalidText,
                "\(place) holds a NUL byte or is not UTF-8; correct it",
                parameter: keyword
            )
        }
        table.complete(keyword, value, from: .service(service))
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isBlank = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        var line = line.drop(while: isBlank)
        while let last = line.last, isBlank(last) { line = line.dropLast() }
        return line
    }
}
