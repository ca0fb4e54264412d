// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the figures depend on.
package struct MachineFacts: Codable, Equatable {
    package var cores: Int
    package var processor: String
    package var swift: String
    package var postgresql: String?
    package var java: String?
    package var python: String?

    /// The versions of what takes part; `nil` for what does not.
    package init(swift: String, postgresql: String? = nil, java: String? = nil, python: String? = nil) {
        self.cores = ProcessInfo.processInfo.activeProcessorCount
        self.processor = Self.processorModel
        self.swift = swift
        self.postgresql = postgresql
        self.java = java
        self.python = python
    }

    private static var processorModel: String {
        let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
        let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":", maxSplits: 1).last
        return model?.trimmingCharacters(in: .whitespaces) ?? "unknown"
    }

    /// In one line.
    package var summary: String {
        let versions = [("PostgreSQL", postgresql), ("Swift", swift), ("Java", java), ("Python", python)]
        let named = versions.compactMap { name, version in version.map { "\(name) \($0)" } }
        return (["\(cores) cores", processor] + named).joined(separator: ", ")
    }
}
