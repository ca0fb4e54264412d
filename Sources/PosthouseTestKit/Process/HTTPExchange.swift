// SPDX-License-Identifier: Apache-2.0

/// One request to a program on this machine that speaks HTTP, and its answer. Blocks.
struct HTTPExchange: Sendable {
    var status: Int
    var body: String

    /// - Throws: ``LocalClusterError/Code/connectionFailed``, ``LocalClusterError/Code/timedOut``.
    static func run(
        _ method: String,
        _ path: String,
        body: String = "",
        port: Int,
        of node: String,
        deadline: ContinuousClock.Instant
    ) throws(LocalClusterError) -> HTTPExchange {
        let socket = try DeadlineSocket.connect(to: .port(port), of: node, deadline: deadline)
        // Version 1.0: the answer ends with the connection, and comes in one piece.
        let request = [
            "\(method) \(path) HTTP/1.0", "Host: 127.0.0.1:\(port)", "Content-Type: application/json",
            "Content-Length: \(body.utf8.count)", "", body,
        ]
        try socket.send(Array(request.joined(separator: "\r\n").utf8))
        var received: [UInt8] = []
        while try socket.receive(into: &received) > 0 {}
        let text = String(decoding: received, as: UTF8.self)
        let words = text.prefix { !$0.isNewline }.split(separator: " ")
        guard let end = text.firstRange(of: "\r\n\r\n"), words.count > 1, let status = Int(words[1]) else {
            throw LocalClusterError(.connectionFailed, "The answer to \(method) \(path) is not HTTP.", node: node)
        }
        return HTTPExchange(status: status, body: String(text[end.upperBound...]))
    }
}
