// SPDX-License-Identifier: Apache-2.0

/// Connection parameters as labelled values.
///
/// With a `dsn`, the parameters that say whom to connect to (`username`, `password`, `host`, `hosts`, `port`, `ports`, `dbName`,
/// `targetSessionAttrs`) are ignored, and `ConnectionParameters.notices` says so; the others apply over it. What is left out
/// comes from the DSN, a service, the environment or libpq's defaults, in this order.
///
/// Durations finer than the system can take are rounded up: to seconds for `keepalivesIdle` and `keepalivesInterval`, to
/// milliseconds for `tcpUserTimeout`; `connectTimeout` is exact. Zero means the system's default. Negative ones are errors.
/// Keep-alives and TCP timeouts do nothing on Unix-domain sockets, or where the system lacks them.
public struct ConnectionOptions: Sendable {
    private var secretDSN: Secret?
    private var secretPassword: Secret?

    /// A connection string, as a URI or keyword/value pairs. Default: none.
    public var dsn: String? {
        get { secretDSN?.revealed }
        set { secretDSN = newValue.map(Secret.init) }
    }
    /// The user. Default: `PGUSER`, else the operating system's user.
    public var username: String?
    /// The password. Default: `PGPASSWORD`, else what the password file says for the host.
    public var password: String? {
        get { secretPassword?.revealed }
        set { secretPassword = newValue.map(Secret.init) }
    }
    /// A host name, address or socket directory. Comes after `hosts`. Default: none; with no `hosts` either, `PGHOST`, else
    /// libpq's socket directory.
    public var host: String?
    /// Host names, addresses or socket directories, in the order to try them. Default: none.
    public var hosts: [String]
    /// One port, after `ports`. Default: none; with no `ports` either, `PGPORT`, else 5432.
    public var port: Int?
    /// One port for all hosts, or one for each; any other number is an error. Default: none.
    public var ports: [Int]
    /// The database. Default: `PGDATABASE`, else the user's name.
    public var dbName: String?
    /// What a server must be to be connected to. Default: `any`.
    public var targetSessionAttrs: TargetSessionAttributes?
    /// Command-line options for the server, such as `-c geqo=off`. Default: none.
    public var options: String?
    /// The name that the server shows for the connection. Default: none.
    public var applicationName: String?
    /// How long one attempt to connect to one address may take. Default: none, and zero means none: only the deadline of
    /// who asked for the connection counts.
    public var connectTimeout: Duration?
    /// How long sent data may stay unacknowledged before the connection is dropped. Default: the system's.
    public var tcpUserTimeout: Duration?
    /// Whether TCP keep-alives are sent. Default: true.
    public var keepalives: Bool?
    /// How long a connection is quiet before the first keep-alive. Default: 2 hours; zero: the system's.
    public var keepalivesIdle: Duration?
    /// How long until a keep-alive that is not answered is sent again. Default: the system's.
    public var keepalivesInterval: Duration?
    /// How many keep-alives may stay unanswered. Default: the system's.
    public var keepalivesRetries: Int?
    /// In which order hosts and their addresses are tried. Default: as given.
    public var loadBalanceHosts: LoadBalanceHosts?
    /// Whether the connection is encrypted and whom it trusts. Default: `prefer`.
    public var sslMode: SSLMode?
    /// A file with the certificates of trusted authorities. Default: `~/.postgresql/root.crt`, if it exists.
    public var caFile: String?

    /// Makes options; see the properties for what is left out.
    public init(
        dsn: String? = nil,
        username: String? = nil,
        password: String? = nil,
        host: String? = nil,
        hosts: [String] = [],
        port: Int? = nil,
        ports: [Int] = [],
        dbName: String? = nil,
        targetSessionAttrs: TargetSessionAttributes? = nil,
        options: String? = nil,
        applicationName: String? = nil,
        connectTimeout: Duration? = nil,
        tcpUserTimeout: Duration? = nil,
        keepalives: Bool? = nil,
        keepalivesIdle: Duration? = nil,
        keepalivesInterval: Duration? = nil,
        keepalivesRetries: Int? = nil,
        loadBalanceHosts: LoadBalanceHosts? = nil,
        sslMode: SSLMode? = nil,
        caFile: String? = nil
    ) {
        self.secretDSN = dsn.map(Secret.init)
        self.username = username
        self.secretPassword = password.map(Secret.init)
        self.host = host
        self.hosts = hosts
        self.port = port
        self.ports = ports
        self.dbName = dbName
        self.targetSessionAttrs = targetSessionAttrs
        self.options = options
        self.applicationName = applicationName
        self.connectTimeout = connectTimeout
        self.tcpUserTimeout = tcpUserTimeout
        self.keepalives = keepalives
        self.keepalivesIdle = keepalivesIdle
        self.keepalivesInterval = keepalivesInterval
        self.keepalivesRetries = keepalivesRetries
        self.loadBalanceHosts = loadBalanceHosts
        self.sslMode = sslMode
        self.caFile = caFile
    }
}
