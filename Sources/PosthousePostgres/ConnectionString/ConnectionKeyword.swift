// SPDX-License-Identifier: Apache-2.0

/// A connection parameter: its name, where its default comes from, and what it takes.
///
/// The table is libpq 15's (`PQconndefaults()` of the installed library is compared with it in the tests), the keywords
/// that later versions added, and `load_balance_hosts`, which Posthouse does itself.
struct ConnectionKeyword: Sendable {
    enum Kind: Sendable {
        /// Anything.
        case text
        /// Resolved with the others of its kind into endpoints.
        case hosts
        /// One of these words.
        case choice([String])
        /// `0` or `1`.
        case flag
        /// A whole number, not negative, that fits 32 bits.
        case integer
        /// A TLS version, in any case, or empty.
        case tlsVersion
    }

    let name: String
    let environmentVariable: String?
    let kind: Kind
    let isSecret: Bool
    /// The first libpq that knows the keyword, as a major version; 0 if Posthouse does it itself.
    let since: Int

    init(
        _ name: String,
        _ environmentVariable: String? = nil,
        _ kind: Kind = .text,
        isSecret: Bool = false,
        since: Int = 15
    ) {
        self.name = name
        self.environmentVariable = environmentVariable
        self.kind = kind
        self.isSecret = isSecret
        self.since = since
    }

    /// Whether a libpq of this version (150018 is 15.18) takes the keyword, or Posthouse itself does.
    func isKnown(to libpqVersion: Int) -> Bool {
        since <= 15 || libpqVersion / 10_000 >= since
    }
}

extension ConnectionKeyword {
    /// Every keyword, in libpq's order, later additions last.
    static let all: [ConnectionKeyword] = [
        ConnectionKeyword("service", "PGSERVICE"),
        ConnectionKeyword("user", "PGUSER"),
        ConnectionKeyword("password", "PGPASSWORD", isSecret: true),
        ConnectionKeyword("passfile", "PGPASSFILE"),
        ConnectionKeyword("channel_binding", "PGCHANNELBINDING", .choice(["disable", "prefer", "require"])),
        ConnectionKeyword("connect_timeout", "PGCONNECT_TIMEOUT", .integer),
        ConnectionKeyword("dbname", "PGDATABASE"),
        ConnectionKeyword("host", "PGHOST", .hosts),
        ConnectionKeyword("hostaddr", "PGHOSTADDR", .hosts),
        ConnectionKeyword("port", "PGPORT", .hosts),
        ConnectionKeyword("client_encoding", "PGCLIENTENCODING"),
        ConnectionKeyword("options", "PGOPTIONS"),
        ConnectionKeyword("application_name", "PGAPPNAME"),
        ConnectionKeyword("fallback_application_name"),
        ConnectionKeyword("keepalives", nil, .flag),
        ConnectionKeyword("keepalives_idle", nil, .integer),
        ConnectionKeyword("keepalives_interval", nil, .integer),
        ConnectionKeyword("keepalives_count", nil, .integer),
        ConnectionKeyword("tcp_user_timeout", nil, .integer),
        ConnectionKeyword("sslmode", "PGSSLMODE", .choice(SSLMode.allCases.map(\.rawValue))),
        ConnectionKeyword("sslcompression", "PGSSLCOMPRESSION", .flag),
        ConnectionKeyword("sslcert", "PGSSLCERT"),
        ConnectionKeyword("sslkey", "PGSSLKEY"),
        ConnectionKeyword("sslpassword", isSecret: true),
        ConnectionKeyword("sslrootcert", "PGSSLROOTCERT"),
        ConnectionKeyword("sslcrl", "PGSSLCRL"),
        ConnectionKeyword("sslcrldir", "PGSSLCRLDIR"),
        ConnectionKeyword("sslsni", "PGSSLSNI", .flag),
        ConnectionKeyword("requirepeer", "PGREQUIREPEER"),
        ConnectionKeyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", .tlsVersion),
        ConnectionKeyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", .tlsVersion),
        ConnectionKeyword("gssencmode", "PGGSSENCMODE", .choice(["disable", "prefer", "require"])),
        ConnectionKeyword("krbsrvname", "PGKRBSRVNAME"),
        ConnectionKeyword("gsslib", "PGGSSLIB"),
        ConnectionKeyword(
            "replication",
            nil,
            .choice(["true", "on", "yes", "1", "database", "false", "off", "no", "0"])
        ),
        ConnectionKeyword(
            "target_session_attrs",
            "PGTARGETSESSIONATTRS",
            .choice(TargetSessionAttributes.allCases.map(\.rawValue))
        ),
        ConnectionKeyword(
            "load_balance_hosts",
            "PGLOADBALANCEHOSTS",
            .choice(LoadBalanceHosts.allCases.map(\.rawValue)),
            since: 0
        ),
        ConnectionKeyword("require_auth", "PGREQUIREAUTH", since: 16),
        ConnectionKeyword("sslcertmode", "PGSSLCERTMODE", .choice(["disable", "allow", "require"]), since: 16),
        ConnectionKeyword("gssdelegation", "PGGSSDELEGATION", .flag, since: 16),
        ConnectionKeyword("sslnegotiation", "PGSSLNEGOTIATION", .choice(["postgres", "direct"]), since: 17),
        ConnectionKeyword("min_protocol_version", "PGMINPROTOCOLVERSION", since: 18),
        ConnectionKeyword("max_protocol_version", "PGMAXPROTOCOLVERSION", since: 18),
        ConnectionKeyword("sslkeylogfile", since: 18),
        ConnectionKeyword("servicefile", "PGSERVICEFILE", since: 18),
        ConnectionKeyword("scram_client_key", isSecret: true, since: 18),
        ConnectionKeyword("scram_server_key", isSecret: true, since: 18),
        ConnectionKeyword("oauth_issuer", since: 18),
        ConnectionKeyword("oauth_client_id", since: 18),
        ConnectionKeyword("oauth_client_secret", isSecret: true, since: 18),
        ConnectionKeyword("oauth_scope", since: 18),
    ]

    private static let byName: [String: ConnectionKeyword] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.name, $0) }
    )

    static func named(_ name: String) -> ConnectionKeyword? {
        byName[name]
    }
}
