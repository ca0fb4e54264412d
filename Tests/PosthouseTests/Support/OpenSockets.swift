// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The sockets of this process.
enum OpenSockets {
    /// How many of them lead to one of these TCP ports of this machine.
    static func count(to ports: [Int]) -> Int {
        let ours = inodes()
        guard let table = try? String(contentsOfFile: "/proc/self/net/tcp", encoding: .utf8) else { return 0 }
        return table.split(separator: "\n").dropFirst().count { line in
            let fields = line.split(separator: " ")
            guard fields.count > 9, let port = fields[2].split(separator: ":").last.flatMap({ Int($0, radix: 16) })
            else { return false }
            return ports.contains(port) && ours.contains(String(fields[9]))
        }
    }

    private static func inodes() -> Set<String> {
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return Set(
            descriptors.compactMap { descriptor in
                guard
                    let target = try? FileManager.default.destinationOfSymbolicLink(
                        atPath: "/proc/self/fd/\(descriptor)"
                    ),
                    target.hasPrefix("socket:[")
                else { return nil }
                return String(target.dropFirst("socket:[".count).dropLast())
            }
        )
    }
}
