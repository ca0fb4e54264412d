// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import PosthouseBase

#if canImport(FoundationNetworking)
    internal import FoundationNetworking
#endif

/// Foundation's HTTP client: on the system already, and enough for one small question every few seconds.
final class URLSessionTransport: PatroniTransport {
    private let exchanges: Exchanges
    private let session: URLSession

    init() {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpCookieAcceptPolicy = .never
        configuration.urlCache = nil
        exchanges = Exchanges()
        session = URLSession(configuration: configuration, delegate: exchanges, delegateQueue: nil)
    }

    deinit {
        // It holds its delegate, and its sockets, until it is told.
        session.invalidateAndCancel()
    }

    func send(_ request: PatroniRequest) async throws -> PatroniResponse {
        guard let url = URL(string: request.url) else {
            throw PatroniError(.invalidURL, "The URL of Patroni cannot be used.")
        }
        var outgoing = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData)
        for (name, value) in request.headers { outgoing.setValue(value, forHTTPHeaderField: name) }
        let task = session.dataTask(with: outgoing)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                exchanges.begin(task, limit: request.answerLimit, continuation)
                // Cancelled before it was known: nobody else will end it.
                if Task.isCancelled { exchanges.cancel(task) } else { task.resume() }
            }
        } onCancel: {
            exchanges.cancel(task)
        }
    }
}

/// The answers that are under way, by the number of their task.
private final class Exchanges: NSObject, URLSessionDataDelegate, Sendable {
    private struct Exchange {
        let continuation: CheckedContinuation<PatroniResponse, any Error>
        let limit: Int
        var response: PatroniResponse?
        var isTooLarge = false
    }

    private let exchanges = Guarded<[Int: Exchange]>([:])

    func begin(_ task: URLSessionTask, limit: Int, _ continuation: CheckedContinuation<PatroniResponse, any Error>) {
        exchanges.withLock { $0[task.taskIdentifier] = Exchange(continuation: continuation, limit: limit) }
    }

    /// Ends an exchange whose task may never tell that it was cancelled: not every Foundation does if it had not begun.
    func cancel(_ task: URLSessionTask) {
        let exchange = exchanges.withLock { $0.removeValue(forKey: task.taskIdentifier) }
        task.cancel()
        exchange?.continuation.resume(throwing: CancellationError())
    }

    func urlSession(
        _ session: URLSession,
        dataTask: URLSessionDataTask,
        didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        exchanges.withLock { $0[dataTask.taskIdentifier]?.response = PatroniResponse(status: status, body: []) }
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        let isTooLarge = exchanges.withLock { exchanges in
            guard var exchange = exchanges[dataTask.taskIdentifier], !exchange.isTooLarge else { return false }
            exchanges[dataTask.taskIdentifier] = nil
            exchange.response?.body.append(contentsOf: data)
            if let size = exchange.response?.body.count, size > exchange.limit {
                exchange.isTooLarge = true
                exchange.response = nil
            }
            exchanges[dataTask.taskIdentifier] = exchange
            return exchange.isTooLarge
        }
        if isTooLarge { dataTask.cancel() }
    }

    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        // Patroni sends nobody elsewhere; whoever does is to be told nothing.
        completionHandler(nil)
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        guard let exchange = exchanges.withLock({ $0.removeValue(forKey: task.taskIdentifier) }) else { return }
        if exchange.isTooLarge {
            let message = "Patroni's answer is larger than \(exchange.limit) bytes."
            exchange.continuation.resume(throwing: PatroniError(.answerTooLarge, message))
        } else if let error {
            exchange.continuation.resume(throwing: PatroniError(.unreachable, error.localizedDescription))
        } else if let response = exchange.response {
            exchange.continuation.resume(returning: response)
        } else {
            exchange.continuation.resume(throwing: PatroniError(.unreachable, "There was no answer."))
        }
    }
}
