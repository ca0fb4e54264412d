// SPDX-License-Identifier: Apache-2.0

/// Whom to connect to and how: a connection string or labelled options, completed by a service file, the environment and
/// libpq's defaults, checked, and split into endpoints.
///
/// Connection strings are libpq 15's, in both syntaxes; its documentation holds for everything that is not said here.
/// Posthouse differs where libpq would guess:
///
/// - A port on the last of several hosts only (`db1,db2,db3:6432`) is every host's port. libpq: that host's.
/// - A host that is listed twice counts once.
/// - One port in a keyword/value string is every host's, as in libpq; any number but one or one for each is an error.
/// - Malformed text is always an error: an unknown parameter or one that is given twice, an empty host within a list, a port or
///   a value that cannot be one, a negative number, text that is not UTF-8.
/// - `load_balance_hosts` is known whatever the version of libpq. `connect_timeout=1` is one second; libpq makes it two.
/// - `keepalives_idle` is 2 hours if it is not given, and zero means the system's value.
///
/// The password never appears in a description, a dump or a mirror.
public struct ConnectionParameters: Sendable {
    /// Where servers may be, in the given order, without duplicates; at least one.
    public let hosts: [HostEndpoint]
    /// The user to log in as.
    public private(set) var user: String
    /// The database.
    public let dbname: String
    /// What a server must be to be connected to. libpq is not told: it would look at one host only.
    public let targetSessionAttributes: TargetSessionAttributes
    /// In which order hosts and their addresses are tried.
    public let loadBalanceHosts: LoadBalanceHosts
    /// How long one attempt to connect to one address may take; nil: no limit but the caller's deadline.
    public let connectTimeout: Duration?
    /// Whether connections are encrypted and whom they trust.
    public let sslmode: SSLMode
    /// What a person should hear of; log it once.
    public let notices: [ConnectionNotice]

    private(set) var table: ParameterTable
    let environment: ConnectionEnvironment

    /// Parses a connection string, as a URI or keyword/value pairs, and completes it.
    /// - Throws: `ConnectionStringError` for whatever cannot be understood or used.
    public init(
        _ connectionString: String,
        environment: ConnectionEnvironment = .process
    ) throws(ConnectionStringError) {
        try self.init(ConnectionOptions(dsn: connectionString), environment: environment)
    }

    /// Completes labelled options, and the connection string among them.
    /// - Throws: `ConnectionStringError` for whatever cannot be understood or used.
    public init(
        _ options: ConnectionOptions,
        environment: ConnectionEnvironment = .process
    ) throws(ConnectionStringError) {
        var table = ParameterTable()
        if let dsn = options.dsn {
            for (keyword, value) in try ConnectionStringParser.parse(dsn, libpqVersion: environment.libpqVersion) {
                table.set(keyword, value, from: .connectionString)
            }
        }
        let ignored = try options.apply(to: &table)
        try ServiceFile.complete(&table, environment: environment)
        table.complete(from: environment)
        try table.validate(libpqVersion: environment.libpqVersion)

        guard let user = table.text("user") ?? environment.userName else {
            throw ConnectionStringError(
                .unknownUser,
                "no user is given and the operating system does not know who runs this process; give the parameter \"user\" "
                    + "or set PGUSER",
                parameter: "user"
            )
        }
        self.user = user
        self.dbname = table.text("dbname") ?? user
        self.hosts = try HostList.endpoints(from: table, defaultHost: environment.defaultHost)
        self.targetSessionAttributes =
            table.text("target_session_attrs").flatMap(TargetSessionAttributes.init(rawValue:)) ?? .any
        self.loadBalanceHosts = table.text("load_balance_hosts").flatMap(LoadBalanceHosts.init(rawValue:)) ?? .disable
        self.sslmode =
            table.text("sslmode").flatMap(SSLMode.init(rawValue:))
            ?? (table.text("sslrootcert") == "system" ? .verifyFull : .prefer)
        let connectTimeout =
            options.connectTimeout
            ?? table.text("connect_timeout").flatMap(WholeNumber.parse).map { Duration.seconds($0) } ?? .zero
        self.connectTimeout = connectTimeout == .zero ? nil : connectTimeout
        self.table = table
        self.environment = environment

        var notices: [ConnectionNotice] = []
        if !ignored.isEmpty {
            notices.append(
                ConnectionNotice(
                    .ignoredParameters,
                    "a connection string is given, so these parameters are ignored: \(ignored.joined(separator: ", "))"
                )
            )
        }
        if let notice = Self.password(in: table, for: hosts[0], of: dbname, user: user, environment).notice {
            notices.append(notice)
        }
        self.notices = notices
    }

    /// The name that the server shows for the connections, if there is one.
    public var applicationName: String? {
        table.text("application_name") ?? table.text("fallback_application_name")
    }

    /// The password that the connection string, the service or `PGPASSWORD` gives; the password file may have one for each
    /// host: see `password(for:)`.
    public var password: Secret? {
        table.text("password").map(Secret.init)
    }

    /// The password for a host: the given one, else what the password file says, which is read now; and a notice if that
    /// file had to be ignored.
    public func password(for endpoint: HostEndpoint) -> (password: Secret?, notice: ConnectionNotice?) {
        Self.password(in: table, for: endpoint, of: dbname, user: user, environment)
    }

    /// The same, for another user or with another password.
    mutating func set(_ credentials: DatabaseCredentials) {
        if let username = credentials.username {
            user = username
            table.set("user", username, from: .option("credentials"))
        }
        if let password = credentials.password {
            table.set("password", password.revealed, from: .option("credentials"))
        }
    }

    private static func password(
        in table: ParameterTable,
        for endpoint: HostEndpoint,
        of database: String,
        user: String,
        _ environment: ConnectionEnvironment
    ) -> (password: Secret?, notice: ConnectionNotice?) {
        if let password = table.text("password") { return (Secret(password), nil) }
        guard let path = table.text("passfile") ?? environment.home.map({ "\($0)/.pgpass" }) else { return (nil, nil) }
        let file = PasswordFile(path: path, environment: environment)
        return file.password(host: endpoint.host, port: endpoint.port, database: database, user: user)
    }
}

extension ParameterTable {
    /// Completes the table from environment variables, as libpq does; the deprecated `PGREQUIRESSL` comes last.
    fileprivate mutating func complete(from environment: ConnectionEnvironment) {
        for keyword in ConnectionKeyword.all where keyword.isKnown(to: environment.libpqVersion) {
            guard let variable = keyword.environmentVariable, let value = environment.variables[variable] else {
                continue
            }
            complete(keyword.name, value, from: .environment(variable))
        }
        if environment.variables["PGREQUIRESSL"]?.utf8.first == UInt8(ascii: "1") {
            complete("sslmode", SSLMode.require.rawValue, from: .environment("PGREQUIRESSL"))
        }
    }
}
