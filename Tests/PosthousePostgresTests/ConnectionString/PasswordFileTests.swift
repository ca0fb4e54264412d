// SPDX-License-Identifier: Apache-2.0
import Foundation
import PosthousePostgres
import Testing

@Suite struct PasswordFileTests {
    private func password(_ file: String, _ dsn: String, _ variables: [String: String] = [:]) throws -> String? {
        let environment = ConnectionEnvironment.testing(variables, files: ["/home/osuser/.pgpass": .text(file)])
        let parameters = try ConnectionParameters(dsn, environment: environment)
        let password = parameters.password(for: parameters.hosts[0]).password?.revealed
        #expect(parameters.libpq["password"] == password)
        return password
    }

    @Test(
        arguments: [
            ("h:5432:d:u:pw", "pw"),
            ("*:*:*:*:pw", "pw"),
            ("h:5432:d:u:pw\r\n", "pw"),
            ("h:5432:d:u:p\\:w\\\\x\\", "p:w\\x\\"),
            ("h:5432:d:u:pw:more", "pw"),
            ("H:5432:d:u:no\nh:1:d:u:no\nh:5432:d:u:first\nh:5432:d:u:second", "first"),
            ("#h:5432:d:u:no\n\nh:5432:d:u:yes", "yes"),
            ("h:5432:d:u: spaces ", " spaces "),
            ("h:5432:d:u", nil),
            ("h:5432:d:u:", nil),
            (" h:5432:d:u:pw", nil),
            ("**:5432:d:u:pw", nil),
            ("\\*:5432:d:u:pw", nil),
            ("", nil),
        ] as [(String, String?)]
    )
    func theFirstLineThatMatchesGivesThePassword(file: String, expected: String?) throws {
        #expect(try password(file, "postgres://u@h/d") == expected)
    }

    @Test func colonsAndAsterisksOfNamesAreEscaped() throws {
        #expect(try password("\\:\\:1:5432:d:u:pw", "postgres://u@[::1]/d") == "pw")
        #expect(try password("h:5432:a\\*:u\\\\:pw", "host=h dbname=a* user=u\\\\") == "pw")
        #expect(try password("h:5432:\\*:u:pw", "postgres://u@h/*") == "pw")
    }

    @Test func theDefaultSocketDirectoryIsLocalhost() throws {
        #expect(try password("localhost:5432:d:u:pw", "postgres://u@/d") == "pw")
        #expect(try password("localhost:5432:d:u:pw", "postgres://u@%2Frun%2Fpg/d") == "pw")
        #expect(try password("localhost:5432:d:u:pw", "postgres://u@%2Ftmp/d") == nil)
        #expect(try password("/tmp:5432:d:u:pw", "postgres://u@%2Ftmp/d") == "pw")
        #expect(try password("1.2.3.4:5432:d:u:pw", "postgres://u@/d?hostaddr=1.2.3.4") == "pw")
        #expect(try password("1.2.3.4:5432:d:u:pw", "postgres://u@h/d?hostaddr=1.2.3.4") == nil)
    }

    @Test func eachHostHasItsOwnPassword() throws {
        let environment = ConnectionEnvironment.testing(files: ["/p": .text("a:1:*:*:pa\nb:2:*:*:pb\n")])
        let parameters = try ConnectionParameters("host=a,b,c port=1,2,3 passfile=/p", environment: environment)
        #expect(parameters.hosts.map { parameters.password(for: $0).password?.revealed } == ["pa", "pb", nil])
        #expect(parameters.password == nil)
        let b = Dictionary(
            uniqueKeysWithValues: parameters.libpqParameters(for: parameters.hosts[1], address: "::1").map { $0 }
        )
        #expect(b["password"] == "pb")
        #expect(b["host"] == "b")
        #expect(b["hostaddr"] == "::1")
        #expect(b["port"] == "2")
        #expect(b["passfile"] == nil)
    }

    @Test func theConnectionStringAndTheEnvironmentComeFirst() throws {
        let file = "*:*:*:*:file"
        #expect(try password(file, "postgres://u:given@h/d", ["PGPASSWORD": "env"]) == "given")
        #expect(try password(file, "postgres://u@h/d", ["PGPASSWORD": "env"]) == "env")
        #expect(try password(file, "postgres://u@h/d", ["PGPASSWORD": ""]) == "file")
        #expect(try password(file, "postgres://u@h/d", ["PGPASSFILE": "/other"]) == nil)
    }

    @Test func aFileOpenToOthersIsIgnoredWithANotice() throws {
        for file in [ConnectionFile.text("*:*:*:*:pw", isOpenToOthers: true), .notAFile] {
            let environment = ConnectionEnvironment.testing(files: ["/home/osuser/.pgpass": file])
            let parameters = try ConnectionParameters("host=h", environment: environment)
            #expect(parameters.password(for: parameters.hosts[0]).password == nil)
            #expect(parameters.notices.map(\.code) == [.passwordFileIgnored])
            #expect(parameters.notices[0].message.contains("/home/osuser/.pgpass"))
            #expect(parameters.libpq["passfile"] == "/dev/null/none")
            #expect(try ConnectionParameters("host=h password=x", environment: environment).notices.isEmpty)
        }
        #expect(try ConnectionParameters("host=h", environment: .testing()).notices.isEmpty)
    }

    @Test func aChangedFileIsSeenByTheNextConnection() throws {
        let path = try temporaryFile("*:*:*:*:before", mode: 0o600)
        defer { try? FileManager.default.removeItem(atPath: path) }
        var environment = ConnectionEnvironment.process
        environment.variables = [:]
        let parameters = try ConnectionParameters("host=h user=u passfile=\(path)", environment: environment)
        #expect(parameters.libpq["password"] == "before")
        try Data("*:*:*:*:after".utf8).write(to: URL(filePath: path))
        #expect(parameters.libpq["password"] == "after")
    }

    @Test func aRealFilesModeDecides() throws {
        for (mode, isRead) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o610, false)] {
            let path = try temporaryFile("*:*:*:*:pw", mode: mode)
            defer { try? FileManager.default.removeItem(atPath: path) }
            var environment = ConnectionEnvironment.process
            environment.variables = [:]
            let parameters = try ConnectionParameters("host=h user=u passfile=\(path)", environment: environment)
            #expect(parameters.libpq["password"] == (isRead ? "pw" : nil))
            #expect(parameters.notices.isEmpty == isRead)
        }
    }

    /// libpq itself reads the same files with the same names.
    @Test(.timeLimit(.minutes(20)))
    func anyFileIsReadAsLibPQReadsIt() throws {
        let seed = try #require(SeededGenerator.seeds(for: "password file").first)
        var generator = SeededGenerator(seed: seed)
        let hosts = ["h", "*", "a:b:c", "localhost", ConnectionEnvironment.process.defaultHost, "/tmp"]
        let users = hosts + ["x\\y", "a:b"]
        let pieces = [
            "h", "a", "b", ":", ":", ":", "\\", "*", "*:", "1", "2", "\n", "\r", "#", "x\\\\y", "a\\:b", "localhost",
            "h:1:", "pw", "/tmp",
            "é", " ",
        ]
        var environment = ConnectionEnvironment.process
        let path = try temporaryFile("", mode: 0o600)
        defer { try? FileManager.default.removeItem(atPath: path) }
        environment.variables = ["PGPASSFILE": path]
        var found = 0
        for _ in 0..<3_000 {
            let host = hosts.randomElement(using: &generator)!
            let user = users.randomElement(using: &generator)!
            var lines = ""
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                if Bool.random(using: &generator) {
                    let fields = [host, "1", "h", user].map { name in
                        Bool.random(using: &generator)
                            ? "*" : name.replacing("\\", with: "\\\\").replacing(":", with: "\\:")
                    }
                    lines += fields.joined(separator: ":") + ":"
                }
                for _ in 0..<Int.random(in: 0...8, using: &generator) {
                    lines += pieces.randomElement(using: &generator)!
                }
                lines += "\n"
            }
            let handle = try FileHandle(forWritingTo: URL(filePath: path))
            try handle.truncate(atOffset: 0)
            try handle.write(contentsOf: Data(lines.utf8))
            try handle.close()

            let options = ConnectionOptions(username: user, host: host, port: 1, dbName: "h")
            let parameters = try ConnectionParameters(options, environment: environment)
            let ours = parameters.password(for: parameters.hosts[0]).password?.revealed ?? ""
            let theirs = LibPQReference.prepare([
                ("host", parameters.hosts[0].host), ("port", "1"), ("user", user), ("dbname", "h"), ("passfile", path),
            ])
            #expect(ours == theirs.password, "seed \(seed): \(lines.debugDescription) host \(host) user \(user)")
            if !ours.isEmpty { found += 1 }
        }
        #expect(found > 100)
    }

    private func temporaryFile(_ text: String, mode: Int) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "pgpass-\(UUID().uuidString)").path
        guard
            FileManager.default.createFile(
                atPath: path,
                contents: Data(text.utf8),
                attributes: [.posixPermissions: mode]
            )
        else { throw CocoaError(.fileWriteUnknown) }
        return path
    }
}
