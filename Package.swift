// swift-tools-version:6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let settings: [SwiftSetting] = [
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0335-existential-any.md
    .enableUpcomingFeature("ExistentialAny"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0444-member-import-visibility.md
    .enableUpcomingFeature("MemberImportVisibility"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0409-access-level-on-imports.md
    .enableUpcomingFeature("InternalImportsByDefault"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0461-async-function-isolation.md
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "posthouse",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Posthouse", targets: ["Posthouse"]),
        // Hosts as Patroni names them. Apart, because it needs Foundation's networking, which nothing else here does.
        .library(name: "PosthousePatroni", targets: ["PosthousePatroni"]),
        .library(name: "PosthousePool", targets: ["PosthousePool"]),
        // For tasks that are to run on the connections' event loops.
        .library(name: "PosthouseReactor", targets: ["PosthouseReactor"]),
        .library(name: "PosthouseTestKit", targets: ["PosthouseTestKit"]),
        // A target of its own: the test kit starts real servers and knows nothing of the cluster, this one starts none.
        .library(name: "PosthouseSimulator", targets: ["PosthouseSimulator"]),
        .executable(name: "posthouse", targets: ["PosthouseCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        // The C border: one shim per system library.
        .target(name: "CReactor"),
        .target(name: "CTask"),
        .target(name: "CTestKit"),
        .systemLibrary(
            name: "CLibPQ",
            pkgConfig: "libpq",
            providers: [.apt(["libpq-dev"]), .brew(["libpq"])]
        ),

        // The floors, bottom first; an upper floor imports lower floors only.
        .target(name: "PosthouseBase", swiftSettings: settings),
        .target(
            name: "PosthouseReactor",
            dependencies: ["CReactor", "PosthouseBase"],
            swiftSettings: settings
        ),
        .target(
            name: "PosthousePool",
            dependencies: ["CTask", "PosthouseBase", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: settings
        ),
        .target(
            name: "PosthouseCluster",
            dependencies: ["PosthouseBase", "PosthousePool"],
            swiftSettings: settings
        ),
        .target(
            name: "PosthousePostgres",
            dependencies: ["CLibPQ", "PosthouseBase", "PosthouseReactor"],
            swiftSettings: settings
        ),
        .target(
            name: "Posthouse",
            dependencies: [
                "PosthouseBase", "PosthouseReactor", "PosthousePool", "PosthouseCluster", "PosthousePostgres",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "PosthousePatroni",
            dependencies: [
                "Posthouse", "PosthouseBase", "PosthouseCluster", "PosthousePostgres",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "PosthouseTestKit",
            dependencies: ["CTestKit"],
            swiftSettings: settings
        ),
        .target(
            name: "PosthouseSimulator",
            dependencies: ["PosthouseBase", "PosthousePool", "PosthouseCluster"],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "PosthouseCLI",
            dependencies: [
                "Posthouse", "PosthouseTestKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),

        .testTarget(
            name: "PosthouseReactorTests",
            dependencies: ["PosthouseBase", "PosthouseReactor"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthousePoolTests",
            dependencies: ["PosthouseBase", "PosthousePool"],
            swiftSettings: settings
        ),
        // Explores every interleaving of a model: values only, so that a sanitizer would find nothing, slowly.
        .testTarget(
            name: "PosthouseProtocolTests",
            dependencies: ["PosthousePool"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthouseClusterTests",
            dependencies: ["PosthouseBase", "PosthouseCluster", "PosthousePool"],
            swiftSettings: settings
        ),
        // Runs the simulator for as long as it is told to: `make simulate`, `make soak`.
        .executableTarget(
            name: "PosthouseSimulate",
            dependencies: ["PosthouseBase", "PosthouseCluster", "PosthouseSimulator"],
            path: "Tests/PosthouseSimulate",
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthouseSimulatorTests",
            dependencies: ["PosthouseBase", "PosthouseCluster", "PosthousePool", "PosthouseSimulator"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthousePostgresTests",
            dependencies: ["PosthousePostgres", "PosthouseReactor", "PosthouseTestKit"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthouseTestKitTests",
            dependencies: ["PosthouseTestKit", "CTestKit"],
            swiftSettings: settings
        ),
        // A process of its own for tests that stop, starve or weigh one.
        .executableTarget(
            name: "PosthouseTestApplication",
            dependencies: ["Posthouse"],
            path: "Tests/PosthouseTestApplication",
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthouseTests",
            dependencies: [
                "Posthouse", "PosthousePatroni", "PosthouseTestKit", "PosthouseTestApplication",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthousePatroniTests",
            dependencies: [
                "Posthouse", "PosthouseCluster", "PosthousePatroni", "PosthousePostgres", "PosthouseTestKit",
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PosthouseCLITests",
            dependencies: ["PosthouseCLI", "PosthouseTestKit"],
            swiftSettings: settings
        ),
    ],
    swiftLanguageModes: [.v6]
)
