// SPDX-License-Identifier: Apache-2.0

extension LocalCluster {
    /// What a cluster is made of. The defaults make one primary, without replicas, as fast as possible.
    public struct Configuration: Sendable {
        /// How many streaming replicas the primary has. Default: 0.
        public var replicas: Int
        /// The ports are this one and those after it, one per node. Default: nil, free ones below the range of ports
        /// that the kernel gives to outgoing connections, so that a server that was stopped finds its port free.
        public var basePort: Int?
        /// Settings for `postgresql.conf` of every node, unquoted, for example `["max_connections": "20"]`. They win
        /// over the kit's own. Default: none.
        public var settings: [String: String]
        /// Lines for `pg_hba.conf`, which come before the kit's rule that trusts every login from this machine, for
        /// example `hostssl all alice 127.0.0.1/32 scram-sha-256`. Default: none.
        public var hostBasedAuthentication: [String]
        /// Statements to be run on the primary once it is ready, before `start` returns. Default: none.
        public var setUp: [String]
        /// Whether the servers offer TLS, with a certificate for `localhost` and 127.0.0.1 which is made with the
        /// program `openssl` and signs itself; see ``LocalCluster/rootCertificate``. Default: false.
        public var tls: Bool
        /// Whether a commit reaches the disk (`fsync`). A killed server loses nothing either way; a machine that loses
        /// power does. Default: false.
        public var durable: Bool
        /// The server programs. Default: nil, ``PostgresInstallation/find()``.
        public var installation: PostgresInstallation?
        /// How long starting may take as a whole. Default: 180 s, as machines that run tests can be slow.
        public var startTimeout: Duration

        /// One primary with so many replicas.
        public init(
            replicas: Int = 0,
            basePort: Int? = nil,
            settings: [String: String] = [:],
            hostBasedAuthentication: [String] = [],
            setUp: [String] = [],
            tls: Bool = false,
            durable: Bool = false,
            installation: PostgresInstallation? = nil,
            startTimeout: Duration = .seconds(180)
        ) {
            self.replicas = replicas
            self.basePort = basePort
            self.settings = settings
            self.hostBasedAuthentication = hostBasedAuthentication
            self.setUp = setUp
            self.tls = tls
            self.durable = durable
            self.installation = installation
            self.startTimeout = startTimeout
        }

        /// Those by which the kit finds its servers.
        private static let ownSettings: Set<String> = [
            "port", "data_directory", "hba_file", "unix_socket_directories", "external_pid_file", "logging_collector",
        ]

        func check() throws(LocalClusterError) {
            guard (0...15).contains(self.replicas) else {
                throw LocalClusterError(
                    .invalidConfiguration,
                    "A local cluster has 0 to 15 replicas, not \(self.replicas)."
                )
            }
            if let basePort, !(1...65535 - self.replicas).contains(basePort) {
                throw LocalClusterError(
                    .invalidConfiguration,
                    "Ports are from 1 to 65535; \(self.replicas + 1) nodes from port \(basePort) on do not fit."
                )
            }
            for line in self.hostBasedAuthentication where line.contains("\n") {
                throw LocalClusterError(.invalidConfiguration, "A line of pg_hba.conf holds a line break: \(line)")
            }
            for (name, value) in self.settings {
                guard !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }) else {
                    throw LocalClusterError(.invalidConfiguration, "\(name) is not the name of a setting.")
                }
                guard !Self.ownSettings.contains(name) else {
                    throw LocalClusterError(.invalidConfiguration, "\(name) is set by the kit and cannot be changed.")
                }
                guard !value.contains("\n") else {
                    throw LocalClusterError(.invalidConfiguration, "The value of \(name) holds a line break.")
                }
            }
        }
    }
}
