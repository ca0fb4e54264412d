// SPDX-License-Identifier: Apache-2.0

/// Where a cluster's files are, and what is written into them.
struct ClusterLayout: Sendable {
    /// The folder of the cluster, owned by the servers' user, without symbolic links.
    var folder: String
    var installation: PostgresInstallation
    var user: ServerUser
    var settings: [String: String]
    var hostBasedAuthentication: [String]
    var tls: Bool
    var durable: Bool

    var hostBasedAuthenticationFile: String { "\(self.folder)/pg_hba.conf" }
    var certificateFile: String { "\(self.folder)/server.crt" }
    var keyFile: String { "\(self.folder)/server.key" }
    func nodeFolder(_ name: String) -> String { "\(self.folder)/\(name)" }

    /// The servers' Unix-domain sockets lie in the cluster's folder, unless its path is longer than an address can be.
    var socketDirectory: String? {
        self.folder.utf8.count + "/.s.PGSQL.65535.lock".utf8.count < 104 ? self.folder : nil
    }

    func program(
        _ name: String,
        _ arguments: [String],
        directory: String,
        output: String?
    ) -> ChildProcess {
        ChildProcess(
            path: self.installation.path(of: name),
            arguments: arguments,
            directory: directory,
            output: output,
            user: self.user
        )
    }

    /// Copies a data directory of which no server runs.
    func copy(_ source: String, to target: String, within limit: Duration) async throws(LocalClusterError) {
        try await ChildProcess(
            path: "/bin/cp",
            arguments: ["-R", "-p", source, target],
            directory: self.folder,
            output: "\(self.folder)/copy.log",
            user: self.user
        ).run(within: limit)
    }

    /// One `pg_hba.conf` for all nodes. The kit's own ways in come first, so that no line of the caller shuts them.
    func writeHostBasedAuthentication() throws(LocalClusterError) {
        let lines =
            ["local all postgres trust", "host replication postgres 127.0.0.1/32 trust"]
            + self.hostBasedAuthentication
            + ["local all all trust", "host all all 127.0.0.1/32 trust", "host all all ::1/128 trust"]
        try Files.write(
            lines.joined(separator: "\n") + "\n",
            to: self.hostBasedAuthenticationFile,
            for: self.user
        )
    }

    /// `postgresql.conf` of one node, whole.
    func settingsFile(for node: String, port: Int, majorVersion: Int) -> String {
        var values: [String: String] = [
            "listen_addresses": "127.0.0.1",
            "port": "\(port)",
            "unix_socket_directories": self.socketDirectory ?? "",
            "hba_file": self.hostBasedAuthenticationFile,
            "cluster_name": node,
            // Reads and fences are tested on replicas, so all can be read from and promoted.
            "hot_standby": "on",
            "max_wal_senders": "20",
            "max_replication_slots": "20",
            // A replica notices a dead, silent or new primary soon.
            "wal_receiver_timeout": "2s",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "50ms",
            // For pg_rewind.
            "wal_log_hints": "on",
            "log_line_prefix": "%m [%p] %q%u@%d %a ",
            "shared_buffers": "16MB",
            // Named segments in /dev/shm would outlive a server that is killed; files go with the folder.
            "dynamic_shared_memory_type": "mmap",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "lc_messages": "C",
        ]
        if majorVersion >= 13 { values["wal_keep_size"] = "256MB" } else { values["wal_keep_segments"] = "16" }
        if !self.durable { values["fsync"] = "off" }
        if self.tls {
            values["ssl"] = "on"
            values["ssl_cert_file"] = self.certificateFile
            values["ssl_key_file"] = self.keyFile
        }
        values.merge(self.settings) { _, asked in asked }
        let lines = values.sorted { $0.key < $1.key }.map { "\($0.key) = \(Self.quoted($0.value))" }
        return lines.joined(separator: "\n") + "\ninclude_if_exists = 'replication.conf'\n"
    }

    static func quoted(_ value: String) -> String {
        var text = "'"
        for character in value {
            if character == "'" || character == "\\" { text.append(character) }
            text.append(character)
        }
        return text + "'"
    }

    /// A certificate that signs itself serves as server certificate and as root at once.
    func makeCertificate(within limit: Duration) async throws(LocalClusterError) {
        let folders = (environmentVariable("PATH") ?? "/usr/bin:/usr/local/bin").split(separator: ":")
        guard let openssl = folders.map({ "\($0)/openssl" }).first(where: { Files.exists($0) }) else {
            throw LocalClusterError(.installationNotFound, "TLS was asked for, and there is no program `openssl`.")
        }
        try await ChildProcess(
            path: openssl,
            arguments: [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1", "-keyout",
                self.keyFile, "-out", self.certificateFile,
            ],
            directory: self.folder,
            output: "\(self.folder)/openssl.log",
            user: self.user
        ).run(within: limit)
    }
}
