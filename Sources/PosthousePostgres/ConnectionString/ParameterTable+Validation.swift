// SPDX-License-Identifier: Apache-2.0

extension ParameterTable {
    /// Refuses values that their parameters do not take. libpq does most of this too, but only when it connects; negative
    /// numbers, where it takes some of them for zero, and flags other than 0 and 1 are refused here only.
    func validate(libpqVersion: Int) throws(ConnectionStringError) {
        for keyword in ConnectionKeyword.all {
            guard let entry = entries[keyword.name] else { continue }
            try validate(entry, of: keyword)
        }
        try validateTLSRange()
        try validateRootCertificate(libpqVersion: libpqVersion)
    }

    private func validate(_ entry: Entry, of keyword: ConnectionKeyword) throws(ConnectionStringError) {
        let value = entry.value.revealed
        switch keyword.kind {
        case .text, .hosts:
            return
        case .choice(let choices):
            if choices.contains(value) { return }
            throw invalid(keyword, entry, "it must be one of \(choices.joined(separator: ", "))")
        case .flag:
            if value == "0" || value == "1" { return }
            throw invalid(keyword, entry, "it must be 1 (on) or 0 (off)")
        case .integer:
            if let number = WholeNumber.parse(value), number >= 0 { return }
            throw invalid(keyword, entry, "it must be a whole number from 0 (the default) to \(Int32.max)")
        case .tlsVersion:
            if value.isEmpty || Self.tlsVersions.contains(value.lowercased()) { return }
            throw invalid(keyword, entry, "it must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")
        }
    }

    private func invalid(_ keyword: ConnectionKeyword, _ entry: Entry, _ rule: String) -> ConnectionStringError {
        let origin = entry.origin == .connectionString ? "" : " (from \(entry.origin))"
        return ConnectionStringError(
            .invalidValue,
            "the value \"\(entry.value.revealed)\" of \"\(keyword.name)\"\(origin) is not valid; \(rule)",
            parameter: keyword.name
        )
    }

    private static let tlsVersions = ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"]

    private func validateTLSRange() throws(ConnectionStringError) {
        guard let least = text("ssl_min_protocol_version")?.lowercased(),
            let most = text("ssl_max_protocol_version")?.lowercased(), least > most
        else { return }
        throw ConnectionStringError(
            .invalidValue,
            "\"ssl_min_protocol_version\" is above \"ssl_max_protocol_version\"; exchange them",
            parameter: "ssl_min_protocol_version"
        )
    }

    /// `sslrootcert=system` means the operating system's authorities from libpq 16 on. An older one takes it for a file, finds
    /// none, and encrypts without checking whom it talks to.
    private func validateRootCertificate(libpqVersion: Int) throws(ConnectionStringError) {
        guard text("sslrootcert") == "system" else { return }
        guard libpqVersion >= 160_000 else {
            throw ConnectionStringError(
                .invalidValue,
                "\"sslrootcert=system\" needs libpq 16 or later, and this is libpq \(libpqVersion / 10_000); name a file with "
                    + "the trusted certificates, such as /etc/ssl/certs/ca-certificates.crt",
                parameter: "sslrootcert"
            )
        }
        guard let mode = text("sslmode"), mode != SSLMode.verifyFull.rawValue else { return }
        throw ConnectionStringError(
            .invalidValue,
            "\"sslrootcert=system\" and \"sslmode=\(mode)\" exclude each other; use \"sslmode=verify-full\"",
            parameter: "sslmode"
        )
    }
}
