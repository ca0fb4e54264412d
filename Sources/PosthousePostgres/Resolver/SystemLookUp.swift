// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Asks the system, blocking, in the order of RFC 6724 that it chooses.
@Sendable func systemLookUp(_ host: String) -> Result<[String], ResolverFailure> {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_flags = AI_ADDRCONFIG
    #if canImport(Glibc)
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    #else
        hints.ai_socktype = SOCK_STREAM
    #endif
    var list: UnsafeMutablePointer<addrinfo>?
    let result = getaddrinfo(host, nil, &hints, &list)
    guard result == 0 else {
        let reason = result == EAI_SYSTEM ? String(cString: strerror(errno)) : String(cString: gai_strerror(result))
        return .failure(.notFound(reason))
    }
    defer { freeaddrinfo(list) }
    var addresses: [String] = []
    var entry = list
    while let current = entry?.pointee {
        if let text = numericText(of: current), !addresses.contains(text) { addresses.append(text) }
        entry = current.ai_next
    }
    return addresses.isEmpty ? .failure(.notFound("the answer holds no address")) : .success(addresses)
}

private func numericText(of entry: addrinfo) -> String? {
    // The longest is an IPv6 address with a zone.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(NI_MAXHOST)) { buffer in
        let result = getnameinfo(
            entry.ai_addr,
            entry.ai_addrlen,
            buffer.baseAddress,
            socklen_t(buffer.count),
            nil,
            0,
            NI_NUMERICHOST
        )
        guard result == 0, let start = buffer.baseAddress else { return nil }
        return String(cString: start)
    }
}

/// What a thread is given to run.
private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) {
        self.run = run
    }
}

/// Runs a closure on a new thread.
///
/// - Returns: false if the system has no thread left.
func startResolverThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    let argument = Unmanaged.passRetained(ThreadBody(body))
    #if canImport(Darwin)
        var thread: pthread_t?
    #else
        var thread = pthread_t()
    #endif
    let result = pthread_create(
        &thread,
        nil,
        { argument in
            #if canImport(Darwin)
                Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            #else
                if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
            #endif
            return nil
        },
        argument.toOpaque()
    )
    guard result == 0 else {
        argument.release()
        return false
    }
    #if canImport(Darwin)
        if let thread { pthread_detach(thread) }
    #else
        pthread_detach(thread)
    #endif
    return true
}
