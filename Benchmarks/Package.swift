// swift-tools-version:6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// A package of its own: users of the library never resolve what the benchmarks need.
let package = Package(
    name: "posthouse-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "posthouse", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        // Counts what the process allocates.
        .target(name: "CAllocations"),
        // What all benchmarks measure, run and draw with.
        .target(name: "BenchmarkKit", swiftSettings: settings),
        .executableTarget(
            name: "SelectOne",
            dependencies: [
                "BenchmarkKit",
                .product(name: "Posthouse", package: "posthouse"),
                .product(name: "PosthouseReactor", package: "posthouse"),
                .product(name: "PosthouseTestKit", package: "posthouse"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "Failover",
            dependencies: [
                "BenchmarkKit",
                .product(name: "Posthouse", package: "posthouse"),
                .product(name: "PosthouseReactor", package: "posthouse"),
                .product(name: "PosthouseTestKit", package: "posthouse"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "PoolBench",
            dependencies: [
                "BenchmarkKit",
                "CAllocations",
                .product(name: "PosthousePool", package: "posthouse"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
    ],
    swiftLanguageModes: [.v6]
)
