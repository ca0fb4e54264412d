// SPDX-License-Identifier: Apache-2.0

/// A user and a password, or a security token in its place, looked up when a connection is opened.
public struct DatabaseCredentials: Sendable, Hashable {
    /// Whom to log in as; nil: whom the connection parameters name.
    public var username: String?
    /// The password; nil: what the connection parameters or the password file say.
    public var password: Secret?

    /// Makes credentials; what is left out is taken from the connection parameters.
    public init(username: String? = nil, password: String? = nil) {
        self.username = username
        self.password = password.map(Secret.init)
    }

    /// Looks them up: asked once for each connection that is opened, before that. May take as long as opening the connection
    /// may, then it is cancelled, and left alone if it does not end: the next attempt begins another one. What it throws becomes
    /// the reason why the connection was not opened.
    public typealias Provider = @Sendable () async throws -> DatabaseCredentials
}

extension ConnectionParameters {
    /// The same parameters for another user, or with another password.
    ///
    /// - Throws: ``ConnectionStringError`` for empty text, or text that holds a NUL byte.
    public func with(_ credentials: DatabaseCredentials) throws(ConnectionStringError) -> ConnectionParameters {
        for (keyword, text) in [("user", credentials.username), ("password", credentials.password?.revealed)] {
            guard let text else { continue }
            if text.utf8.contains(0) {
                throw ConnectionStringError(
                    .invalidText,
                    "the credentials' \(keyword) holds a NUL byte, which libpq cannot carry; remove it",
                    parameter: keyword
                )
            }
            if text.isEmpty {
                throw ConnectionStringError(
                    .invalidValue,
                    "the credentials' \(keyword) is empty; leave it out (nil) to get that of the connection parameters",
                    parameter: keyword
                )
            }
        }
        var parameters = self
        parameters.set(credentials)
        return parameters
    }
}
