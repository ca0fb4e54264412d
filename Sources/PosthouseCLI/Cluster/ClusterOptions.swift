// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthouseTestKit

/// Which cluster, and for whom to print.
struct ClusterOptions: ParsableArguments {
    private static let usualDirectory = ".posthouse/cluster"

    @Option(name: .long, help: "Where the cluster is.")
    var directory = Self.usualDirectory

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    func validate() throws {
        guard !directory.isEmpty else { throw ValidationError("--directory must not be empty") }
    }

    /// The cluster, which must exist.
    func open(exclusively: Bool = true) async throws -> LocalCluster {
        do {
            return try await LocalCluster.open(at: directory, exclusively: exclusively)
        } catch {
            guard error.code == .notACluster else { throw error }
            throw ClusterMissing(reason: error.message, up: "posthouse cluster up\(directoryArgument)")
        }
    }

    /// As this command was given it, for commands to try next.
    var directoryArgument: String {
        directory == Self.usualDirectory ? "" : " --directory \(Self.quoted(directory))"
    }

    private static func quoted(_ text: String) -> String {
        let plain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+:@%,".contains($0)) }
        return plain
            ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    /// Runs a command's work: interruptible, errors on standard error, exit code as promised.
    func perform(_ command: String, _ work: @escaping @Sendable () async throws -> Void) async throws {
        do {
            try await Interruption.whileNotInterrupted(work)
        } catch let code as ExitCode {
            throw code
        } catch let error as ValidationError {
            throw error
        } catch {
            Console.remark("posthouse cluster \(command): \(error)")
            throw (error as? LocalClusterError)?.code == .noSuchNode ? ExitCode.badUsage : ExitCode.failed
        }
    }

    /// Prints what a command leaves behind.
    func show(_ cluster: LocalCluster) async throws {
        let report = try await ClusterReport(cluster)
        if json { Console.output(report.json) } else { Console.output(report.table) }
    }
}

/// There is no cluster to work on.
struct ClusterMissing: Error, CustomStringConvertible {
    let reason: String
    let up: String

    var description: String { "\(reason) `\(up)` starts one." }
}

extension LocalCluster {
    /// The node that a command names: by name, by port, or as the current `primary`.
    func node(named text: String) throws(LocalClusterError) -> LocalNode {
        if text == "primary" { return primary }
        if let port = Int(text), let node = nodes.first(where: { $0.port == port }) { return node }
        return try node(text)
    }
}
