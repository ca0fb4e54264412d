// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation

/// What all of the comparisons are told: who the peers are, and where the results go.
struct PeerOptions: ParsableArguments {
    @Option(help: "A Python that has hasql.")
    var python: String?

    @Option(help: "The folder with the peers' scripts.")
    var peers = "peers"

    @Option(help: "The folder for the results; nothing is written if it is left out.")
    var output: String?

    @Option(help: "The compiler's version, for the record.")
    var swiftVersion = "unknown"

    /// The day, in UTC.
    static var today: String { Date.now.formatted(.iso8601.year().month().day()) }

    /// A line of progress.
    static func tell(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }

    /// - Returns: What is there of `name`.json; `nil` without a folder or without the file.
    func read<Results: Decodable>(_ name: String) throws -> Results? {
        guard let output else { return nil }
        let file = URL(fileURLWithPath: output).appending(path: "\(name).json")
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        return try JSONDecoder().decode(Results.self, from: Data(contentsOf: file))
    }

    /// Writes `name`.json and what else belongs to it, if there is a folder for that.
    func write(_ results: some Encodable, as name: String, and others: [String: String] = [:]) throws {
        guard let output else { return }
        let folder = URL(fileURLWithPath: output)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (encoder.encode(results) + Data("\n".utf8)).write(to: folder.appending(path: "\(name).json"))
        for (other, text) in others { try Data(text.utf8).write(to: folder.appending(path: other)) }
    }
}
