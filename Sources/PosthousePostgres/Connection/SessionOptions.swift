// SPDX-License-Identifier: Apache-2.0

/// How sessions are set up, apart from what the connection string says.
public struct SessionOptions: Sendable {
    /// How many prepared statements a connection keeps; 128 by default. A statement is prepared when its text is seen for
    /// the second time (unless it is longer than 32 KiB), and the least recently used one makes room. 0 prepares nothing,
    /// which is what a pooler in transaction mode may need.
    public var statementCacheSize: Int

    /// The session's time zone, such as `UTC`, sent with the login; nil (the default) leaves it to the server.
    public var timeZone: String?

    /// Receives the server's notices and warnings; nil (the default) drops them. It is called in the midst of an exchange,
    /// on the thread of the task that is using the connection: it must not block, and must not use the connection.
    public var noticeHandler: (@Sendable (ServerDiagnostics) -> Void)?

    /// Makes options; what is left out has its default.
    public init(
        statementCacheSize: Int = 128,
        timeZone: String? = nil,
        noticeHandler: (@Sendable (ServerDiagnostics) -> Void)? = nil
    ) {
        self.statementCacheSize = statementCacheSize
        self.timeZone = timeZone
        self.noticeHandler = noticeHandler
    }
}
