// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The errors of a system call that C reports as a negative number.
func systemMessage(_ failure: Int32) -> String {
    String(cString: strerror(failure < 0 ? -failure : failure))
}

private final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs `body` on a thread of its own.
///
/// - Parameter orNot: Whether it may be left out if there is no thread to be had; else it runs here then.
func startThread(orNot: Bool = false, _ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Box(body))
    let result = testkit_thread(
        { context in Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body() },
        box.toOpaque()
    )
    guard result != 0 else { return }
    let left = box.takeRetainedValue()
    if !orNot { left.body() }
}

/// Runs blocking calls (fork, wait for a child, read a socket) away from the cooperative pool: on two cores it has two
/// threads, and the code under test wants them. Nor on libdispatch, whose pools also grow only after a while.
func offCooperativePool<Value: Sendable>(
    _ body: @escaping @Sendable () throws(LocalClusterError) -> Value
) async throws(LocalClusterError) -> Value {
    let result: Result<Value, LocalClusterError> = await withCheckedContinuation { continuation in
        startThread {
            do throws(LocalClusterError) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
    return try result.get()
}

/// Asks again and again until the answer is yes (`true`) or the deadline passed (`false`).
///
/// - Throws: ``LocalClusterError/Code/cancelled``, and whatever `condition` throws.
func waitUntil(
    _ deadline: ContinuousClock.Instant,
    every interval: Duration = .milliseconds(5),
    _ condition: () async throws(LocalClusterError) -> Bool
) async throws(LocalClusterError) -> Bool {
    while true {
        // The order matters on a starved machine: a look after the deadline, before giving up.
        let late = ContinuousClock.now >= deadline
        if try await condition() { return true }
        if late { return false }
        do {
            try await Task.sleep(for: interval)
        } catch {
            throw LocalClusterError(.cancelled, "The task was cancelled while it waited for a server.")
        }
    }
}

extension Duration {
    /// As text for messages, for example `12.5 s`.
    var inSeconds: String {
        let milliseconds = self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(Double(milliseconds) / 1000) s"
    }
}

/// All at once; the first error, after all have ended.
func concurrently<Element: Sendable>(
    _ elements: some Sequence<Element>,
    _ body: @escaping @Sendable (Element) async throws(LocalClusterError) -> Void
) async throws(LocalClusterError) {
    let failure = await withTaskGroup(of: LocalClusterError?.self) { group in
        for element in elements {
            group.addTask {
                do throws(LocalClusterError) {
                    try await body(element)
                    return nil
                } catch {
                    return error
                }
            }
        }
        return await group.reduce(nil) { $0 ?? $1 }
    }
    if let failure { throw failure }
}
