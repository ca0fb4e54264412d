// SPDX-License-Identifier: Apache-2.0

/// One etcd, in which the members of a ``LocalPatroni`` agree who leads.
///
/// One and not three: what is tested is the cluster it decides on, not etcd.
final class LocalEtcd: Sendable {
    let port: Int
    private let reservations: [PortReservation]
    private let companion: Companion

    init(in layout: ClusterLayout) throws(LocalClusterError) {
        let (clients, peers) = (try PortReservation.any(), try PortReservation.any())
        let folder = layout.nodeFolder("etcd")
        try Files.makeFolder(folder, for: layout.user)
        let (clientURL, peerURL) = ("http://127.0.0.1:\(clients.port)", "http://127.0.0.1:\(peers.port)")
        port = clients.port
        reservations = [clients, peers]
        companion = Companion(
            "etcd",
            ChildProcess(
                path: try InstalledProgram.path(of: "etcd"),
                arguments: [
                    "--name", "etcd", "--data-dir", "\(folder)/data", "--listen-client-urls", clientURL,
                    "--advertise-client-urls", clientURL, "--listen-peer-urls", peerURL,
                    "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "etcd=\(peerURL)",
                ],
                directory: folder,
                output: "\(folder)/etcd.log",
                user: layout.user
            )
        )
    }

    func start(within limit: Duration) async throws(LocalClusterError) {
        let port = port
        try await companion.start(within: limit) { deadline in
            let answer = try? await offCooperativePool { () throws(LocalClusterError) in
                try HTTPExchange.run("GET", "/health", port: port, of: "etcd", deadline: deadline)
            }
            return answer?.status == 200
        }
    }
}
