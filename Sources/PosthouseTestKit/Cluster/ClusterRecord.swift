// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// What is written down of a cluster that outlives the process which made it: `cluster.json` in its directory.
struct ClusterRecord: Codable {
    struct Node: Codable {
        var name: String
        var port: Int
    }

    var version = 1
    /// Where the servers' files are: within the directory, or in the temporary one if their user cannot go there.
    var folder: String
    /// The directories that were made for the cluster, outermost first; they are removed with it.
    var directories: [String]
    var binaries: String
    var nodes: [Node]
    var primary: String
    var settings: [String: String]
    var hostBasedAuthentication: [String]
    var tls: Bool
    var durable: Bool

    static func path(in directory: String) -> String { "\(directory)/cluster.json" }

    /// - Throws: ``LocalClusterError/Code/notACluster``, ``LocalClusterError/Code/recordUnreadable``.
    static func read(from directory: String) throws(LocalClusterError) -> ClusterRecord {
        let path = self.path(in: directory)
        guard let bytes = Files.contents(of: path) else {
            throw LocalClusterError(.notACluster, "There is no cluster in \(directory).")
        }
        let record: ClusterRecord
        do {
            record = try Self.decoder.decode(ClusterRecord.self, from: Data(bytes))
        } catch {
            throw LocalClusterError(.recordUnreadable, "\(path) is not the record of a cluster: \(error).")
        }
        guard record.version == 1, !record.nodes.isEmpty else {
            throw LocalClusterError(.recordUnreadable, "\(path) was written by another version of this software.")
        }
        return record
    }

    func write(to directory: String) throws(LocalClusterError) {
        let bytes: Data
        do {
            bytes = try Self.encoder.encode(self)
        } catch {
            throw LocalClusterError(.fileSystem, "Could not write down the cluster: \(error).")
        }
        // It belongs to who made the cluster, not to the servers' user.
        try Files.write(Array(bytes), to: Self.path(in: directory), for: ServerUser(name: "", change: nil))
    }

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    private static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }
}

/// The place of a cluster that outlives the process which made it, while a process works on it.
final class ClusterDirectory: Sendable {
    let path: String
    /// See ``ClusterRecord/directories``.
    let made: [String]
    /// Nil for who only looks.
    private let lock: DirectoryLock?

    init(path: String, made: [String], lock: DirectoryLock?) {
        self.path = path
        self.made = made
        self.lock = lock
    }

    /// Removes the record, and the directories that were made for it as far as nothing else is in them.
    func remove() throws(LocalClusterError) {
        try Files.removeFile(ClusterRecord.path(in: self.path))
        for directory in self.made.reversed() { guard Files.removeEmptyFolder(directory) else { return } }
    }
}
