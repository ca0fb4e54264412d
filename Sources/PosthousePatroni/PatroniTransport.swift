// SPDX-License-Identifier: Apache-2.0

/// Asks Patroni by HTTP.
///
/// The default is Foundation's `URLSession`, which trusts the certificate authorities of the system and, on Linux, no others,
/// and has no client certificates there. Where Patroni's authority is your own, and not in the system's store, hand the
/// request to the HTTP client that your application has anyway:
///
/// ```swift
/// /// AsyncHTTPClient, with a certificate authority and a client certificate of our own.
/// struct OwnAuthority: PatroniTransport {
///     let client: HTTPClient
///
///     func send(_ request: PatroniRequest) async throws -> PatroniResponse {
///         var outgoing = HTTPClientRequest(url: request.url)
///         for (name, value) in request.headers { outgoing.headers.add(name: name, value: value) }
///         let response = try await client.execute(outgoing, timeout: .seconds(5))
///         let body = try await response.body.collect(upTo: request.answerLimit)
///         return PatroniResponse(status: Int(response.status.code), body: Array(body.readableBytesView))
///     }
/// }
/// ```
public protocol PatroniTransport: Sendable {
    /// Sends a GET request and waits for the whole answer. Follows no redirection. Ends soon when its task is cancelled, as
    /// it is at the deadline.
    ///
    /// - Throws: Whatever went wrong, without passwords; best a ``PatroniError``.
    func send(_ request: PatroniRequest) async throws -> PatroniResponse
}

/// A question to Patroni.
public struct PatroniRequest: Sendable {
    /// Where to; without user and password.
    public var url: String
    /// What to send with it, for example `Authorization`.
    public var headers: [(name: String, value: String)]
    /// The most bytes that an answer may have; a longer one is an error, found before all of it is in memory.
    public var answerLimit: Int
}

/// What Patroni answered.
public struct PatroniResponse: Sendable {
    /// The status, 200 if all is well.
    public var status: Int
    /// The body.
    public var body: [UInt8]

    /// Makes an answer.
    public init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
    }
}
