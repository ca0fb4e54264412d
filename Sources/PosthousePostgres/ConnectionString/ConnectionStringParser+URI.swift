// SPDX-License-Identifier: Apache-2.0

extension ConnectionStringParser {
    /// `[user[:password]@][host[:port]][,...][/dbname][?keyword=value[&...]]`, any part percent-encoded.
    ///
    /// As in libpq, the hosts and the ports are joined with commas and then decoded, so that `%2C` separates hosts too; and
    /// a parameter in the query replaces what the parts before it said.
    mutating func parseURI(from start: Int) throws(ConnectionStringError) {
        var hostsStart = start
        let stop = end(from: start, of: [UInt8(ascii: "@"), UInt8(ascii: "/")])
        let hasUser = stop < text.endIndex && text[stop] == UInt8(ascii: "@")
        if hasUser { hostsStart = stop + 1 }

        let hostsEnd = end(from: hostsStart, of: [UInt8(ascii: "/"), UInt8(ascii: "?")])
        let hasPath = hostsEnd < text.endIndex && text[hostsEnd] == UInt8(ascii: "/")
        let pathEnd = hasPath ? end(from: hostsEnd, of: [UInt8(ascii: "?")]) : hostsEnd
        try refuseUnencodedPassword(authority: start, hosts: hostsStart..<hostsEnd, pathEnd: pathEnd)

        if hasUser { try parseUser(start..<stop) }
        try parseHosts(hostsStart..<hostsEnd, hasUser: hasUser)
        if hasPath, hostsEnd + 1 < pathEnd {
            try store("dbname", try decode(hostsEnd + 1..<pathEnd, of: "database name"), position: hostsEnd + 2)
        }
        if pathEnd < text.endIndex {
            try parseQuery(from: pathEnd + 1, mayHoldPassword: text[start..<pathEnd].contains(UInt8(ascii: ":")))
        }
    }

    /// An `@` after the one that ends the user, or a path with an `@` after a `:`, is a password in which `@` or `/` was not
    /// encoded. libpq would take its pieces for a host or a database, and show them.
    private func refuseUnencodedPassword(
        authority: Int,
        hosts: Range<Int>,
        pathEnd: Int
    ) throws(ConnectionStringError) {
        let at = UInt8(ascii: "@")
        let strayInHosts = text[hosts].firstIndex(of: at)
        let strayInPath = text[hosts.upperBound..<pathEnd].lastIndex(of: at)
            .flatMap { text[authority..<$0].contains(UInt8(ascii: ":")) ? $0 : nil }
        guard let stray = strayInHosts ?? strayInPath else { return }
        throw ConnectionStringError(
            .malformed,
            "an \"@\" stands where it cannot: in a user name or a password write \"@\" as %40, \"/\" as %2F and \":\" as "
                + "%3A; in a host or a database name, too, write \"@\" as %40",
            position: stray + 1
        )
    }

    private mutating func parseUser(_ range: Range<Int>) throws(ConnectionStringError) {
        let userEnd = min(end(from: range.lowerBound, of: [UInt8(ascii: ":")]), range.upperBound)
        if range.lowerBound < userEnd {
            let user = try decode(range.lowerBound..<userEnd, of: "user name")
            try store("user", user, position: range.lowerBound + 1)
        }
        if userEnd + 1 < range.upperBound {
            let password = try decode(userEnd + 1..<range.upperBound, of: "password")
            try store("password", password, position: userEnd + 2)
        }
    }

    private mutating func parseHosts(_ range: Range<Int>, hasUser: Bool) throws(ConnectionStringError) {
        var hosts: [String] = []
        var ports: [String] = []
        var index = range.lowerBound
        while true {
            let host: Range<Int>
            if index < range.upperBound, text[index] == UInt8(ascii: "[") {
                let close = try endOfBrackets(from: index, within: range)
                host = index + 1..<close
                index = close + 1
            } else {
                let stop = min(end(from: index, of: [UInt8(ascii: ":"), UInt8(ascii: ",")]), range.upperBound)
                host = index..<stop
                index = stop
            }
            hosts.append(try decode(host, of: "host"))

            var port = ""
            if index < range.upperBound, text[index] == UInt8(ascii: ":") {
                let stop = min(end(from: index, of: [UInt8(ascii: ",")]), range.upperBound)
                port = try decode(index + 1..<stop, of: "port")
                try checkPort(port, hasUser: hasUser, position: index + 2)
                index = stop
            }
            ports.append(port)

            guard index < range.upperBound else { break }
            index += 1
        }
        let (host, port) = (hosts.joined(separator: ","), ports.joined(separator: ","))
        if !host.isEmpty { try store("host", host, position: range.lowerBound + 1) }
        if !port.isEmpty { try store("port", port, position: range.lowerBound + 1) }
    }

    private func endOfBrackets(from open: Int, within range: Range<Int>) throws(ConnectionStringError) -> Int {
        // libpq looks for the bracket in the whole rest; within the hosts it must be, since an address holds no "/".
        guard let close = text[open..<range.upperBound].firstIndex(of: UInt8(ascii: "]")) else {
            throw ConnectionStringError(
                .malformed,
                "an IPv6 address begins with \"[\" and has no \"]\"; close the bracket",
                position: open + 1
            )
        }
        guard close > open + 1 else {
            throw ConnectionStringError(.invalidHost, "the brackets \"[]\" hold no address", position: open + 1)
        }
        let next = close + 1
        guard next == range.upperBound || text[next] == UInt8(ascii: ":") || text[next] == UInt8(ascii: ",") else {
            throw ConnectionStringError(
                .malformed,
                "after \"]\" only a port (\":5432\"), another host (\",\"), \"/\" or \"?\" may follow",
                position: next + 1
            )
        }
        return close
    }

    /// What follows a host's colon must be ports here already. Without a user before it, it may be a password whose host was
    /// forgotten, and is not quoted for that reason. Empty means the default, as in libpq.
    private func checkPort(_ ports: String, hasUser: Bool, position: Int) throws(ConnectionStringError) {
        for port in HostList.elements(of: ports) where !port.isEmpty && HostList.number(ofPort: port) == nil {
            let isNumber = port.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            let what = hasUser && isNumber ? "the port \"\(port)\"" : "what follows the host's \":\""
            let hint: String
            if port.utf8.contains(UInt8(ascii: ":")) {
                hint = "; write an IPv6 address in brackets, as in [::1]:5432"
            } else if hasUser {
                hint = ""
            } else {
                hint = "; if it is a password, \"@\" and the host must follow, with \"/\" in the password as %2F"
            }
            throw ConnectionStringError(
                .invalidPort,
                "\(what) is not a port number from 1 to 65535\(hint)",
                parameter: "port",
                position: position
            )
        }
    }

    private mutating func parseQuery(from start: Int, mayHoldPassword: Bool) throws(ConnectionStringError) {
        // The parts before the query are replaced by it; within the query a parameter stands once.
        replaceable = Set(values.keys)
        var followsSecret = false
        var index = start
        while index < text.endIndex {
            let stop = end(from: index, of: [UInt8(ascii: "&")])
            let parameter = index..<stop
            // The first parameter may be the tail of a password with a "?" in it, up to the "@" before the host.
            let isTail = mayHoldPassword && index == start && text[parameter].contains(UInt8(ascii: "@"))
            let suspicion: Suspicion = isTail ? .standsForSecret : followsSecret ? .followsSecret : .none
            let equals = end(from: index, of: [UInt8(ascii: "=")])
            guard equals < stop else {
                let name = String(decoding: text[parameter], as: UTF8.self)
                let what =
                    suspicion == .none && ConnectionKeyword.named(name) != nil
                    ? "the parameter \"\(name)\"" : "a parameter"
                throw ConnectionStringError(
                    .malformed,
                    "\(what) in the URI's query has no \"=\"; write keyword=value, and \"&\" within a value as %26",
                    position: index + 1
                )
            }
            if let second = text[equals + 1..<stop].firstIndex(of: UInt8(ascii: "=")) {
                throw ConnectionStringError(
                    .malformed,
                    "a parameter in the URI's query has a second \"=\"; within a value write \"=\" as %3D",
                    position: second + 1
                )
            }
            let keyword = try decode(index..<equals, of: "parameter name")
            let value = try decode(equals + 1..<stop, of: "parameter value")
            switch (keyword, value) {
            case ("ssl", "true"): storeAlias(of: .require)
            case ("requiressl", _): storeRequireSSL(value)
            default: try store(keyword, value, suspicion: suspicion, position: index + 1)
            }
            followsSecret = ConnectionKeyword.named(keyword)?.isSecret == true
            index = stop + 1
        }
    }

    // MARK: Bytes

    private func end(from start: Int, of separators: [UInt8]) -> Int {
        var index = start
        while index < text.endIndex, !separators.contains(text[index]) { index += 1 }
        return index
    }

    /// Replaces `%` and two hexadecimal digits by the byte they stand for; `+` stands for itself.
    private func decode(_ range: Range<Int>, of part: String) throws(ConnectionStringError) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            guard text[index] == UInt8(ascii: "%") else {
                decoded.append(text[index])
                index += 1
                continue
            }
            guard index + 2 < range.upperBound, let high = hexadecimal(text[index + 1]),
                let low = hexadecimal(text[index + 2])
            else {
                throw ConnectionStringError(
                    .invalidPercentEncoding,
                    "a \"%\" in the \(part) is not followed by two hexadecimal digits; write \"%\" itself as %25",
                    position: index + 1
                )
            }
            let byte = high << 4 | low
            guard byte != 0 else {
                throw ConnectionStringError(
                    .invalidText,
                    "the \(part) holds %00, a NUL byte, which libpq cannot carry; remove it",
                    position: index + 1
                )
            }
            decoded.append(byte)
            index += 3
        }
        return try string(decoded, position: range.lowerBound + 1)
    }

    private func hexadecimal(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
